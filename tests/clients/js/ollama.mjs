import { Ollama } from "ollama";
import { all, begun, BIG, EMBED, HELLO, PICTURE, SMALL, TOOL, TOWN, WEATHER } from "./asked.mjs";

export function steps(host) {
  const client = new Ollama({ host });
  return {
    async chat() {
      const { message, done, done_reason, eval_count } = await client.chat({ model: BIG, messages: HELLO });
      return { text: message.content, done, done_reason, eval_count };
    },
    async stream() {
      const chunks = await all(await client.chat({ model: BIG, messages: HELLO, stream: true }));
      return { text: chunks.map((each) => each.message.content).join(""), chunks: chunks.length, last: chunks.at(-1).done_reason };
    },
    async generate() {
      const chunks = await all(await client.generate({ model: BIG, prompt: "why?", stream: true, options: { num_predict: 7 } }));
      return { text: chunks.map((each) => each.response).join(""), last: chunks.at(-1).done_reason };
    },
    async tools() {
      const { message } = await client.chat({ model: BIG, messages: WEATHER, tools: [TOOL] });
      return message.tool_calls.map((each) => each.function);
    },
    async json() {
      return JSON.parse((await client.chat({ model: BIG, messages: HELLO, format: TOWN })).message.content);
    },
    async image() {
      const messages = [{ role: "user", content: "What is it?", images: [PICTURE] }];
      return (await client.chat({ model: BIG, messages })).prompt_eval_count;
    },
    async embeddings() {
      return (await client.embed({ model: EMBED, input: ["a", "b"] })).embeddings.map((each) => [each.length, each[0]]);
    },
    async models() {
      return (await client.list()).models.map((each) => [each.model, each.digest, each.size]).sort();
    },
    async show() {
      const { capabilities, details } = await client.show({ model: SMALL });
      return { capabilities, details };
    },
    async pull() {
      const told = await all(await client.pull({ model: "smollm2:135m", stream: true }));
      const deleted = await client.delete({ model: "smollm2:135m" });
      return { last: told.at(-1), progressed: told.some((each) => each.completed > 0), deleted };
    },
    async unknown() {
      return client.chat({ model: "nope", messages: HELLO });
    },
    async leave() {
      const stream = await client.chat({ model: SMALL, messages: HELLO, stream: true });
      for await (const chunk of stream) {
        begun(chunk);
        stream.abort();
      }
    },
    async dies() {
      return all(await client.chat({ model: SMALL, messages: HELLO, stream: true }));
    },
    async small() {
      return (await client.chat({ model: SMALL, messages: HELLO })).message.content;
    },
  };
}
