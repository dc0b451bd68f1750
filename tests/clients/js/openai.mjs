import OpenAI from "openai";
import { all, begun, BIG, EMBED, HELLO, PICTURE, SMALL, TOOL, TOWN, WEATHER } from "./asked.mjs";

export function steps(url) {
  const told = { baseURL: `${url}/v1`, apiKey: "not-needed" };
  const client = new OpenAI({ ...told, maxRetries: 0 });
  const chat = (asked) => client.chat.completions.create({ model: BIG, messages: HELLO, ...asked });
  return {
    async chat() {
      const { choices, usage } = await chat({});
      return { choices, usage };
    },
    async stream() {
      const chunks = await all(await chat({ stream: true, stream_options: { include_usage: true } }));
      const usage = chunks.at(-1).usage;
      return { text: chunks.map((each) => each.choices[0]?.delta.content ?? "").join(""), chunks: chunks.length, usage };
    },
    async tools() {
      const { choices } = await chat({ messages: WEATHER, tools: [TOOL] });
      return { reason: choices[0].finish_reason, calls: choices[0].message.tool_calls.map((each) => each.function) };
    },
    async toolsStreamed() {
      const runner = client.chat.completions.stream({ model: BIG, messages: WEATHER, tools: [TOOL] });
      const { choices } = await runner.finalChatCompletion();
      return { reason: choices[0].finish_reason, calls: choices[0].message.tool_calls.map((each) => each.function) };
    },
    async json() {
      const response_format = { type: "json_schema", json_schema: { name: "town", schema: TOWN } };
      return JSON.parse((await chat({ response_format })).choices[0].message.content);
    },
    async image() {
      const image_url = { url: `data:image/png;base64,${PICTURE}` };
      const content = [{ type: "text", text: "What is it?" }, { type: "image_url", image_url }];
      return (await chat({ messages: [{ role: "user", content }] })).usage.prompt_tokens;
    },
    async embeddings() {
      return (await client.embeddings.create({ model: EMBED, input: ["a", "b"] })).data.map((each) => [each.embedding.length, each.embedding[0]]);
    },
    async models() {
      return (await all(client.models.list())).map((each) => [each.id, each.owned_by]).sort();
    },
    async unknown() {
      return chat({ model: "nope" });
    },
    async leave() {
      const stream = await chat({ model: SMALL, stream: true });
      for await (const chunk of stream) {
        begun(chunk);
        stream.controller.abort();
      }
    },
    async dies() {
      return all(await chat({ model: SMALL, stream: true }));
    },
    async small() {
      return (await chat({ model: SMALL })).choices[0].message.content;
    },
    async retried() {
      const patient = new OpenAI({ ...told, maxRetries: 2 });
      return (await patient.chat.completions.create({ model: SMALL, messages: HELLO })).choices[0].message.content;
    },
    async late() {
      const hasty = new OpenAI({ ...told, maxRetries: 0, timeout: 300 });
      return hasty.chat.completions.create({ model: SMALL, messages: HELLO });
    },
  };
}
