import Anthropic from "@anthropic-ai/sdk";
import { all, begun, BIG, HELLO, PICTURE, SMALL, TOOL, WEATHER } from "./asked.mjs";

const TOOLS = [{ name: TOOL.function.name, description: TOOL.function.description, input_schema: TOOL.function.parameters }];

export function steps(baseURL) {
  const told = { baseURL, apiKey: "not-needed" };
  const client = new Anthropic({ ...told, maxRetries: 0 });
  const base = { model: BIG, max_tokens: 200, messages: HELLO };
  const ask = (asked) => client.messages.create({ ...base, ...asked });
  return {
    async chat() {
      const { type, role, model, content, stop_reason, stop_sequence, usage } = await ask({});
      return { type, role, model, content, stop_reason, stop_sequence, output: usage.output_tokens };
    },
    async stream() {
      const events = await all(await ask({ stream: true }));
      const kinds = events.map((each) => each.type).filter((each, at, before) => each !== "ping" && each !== before[at - 1]);
      const deltas = events.filter((each) => each.type === "content_block_delta");
      const { delta, usage } = events.find((each) => each.type === "message_delta");
      return { kinds, text: deltas.map((each) => each.delta.text).join(""), many: deltas.length > 8, reason: delta.stop_reason, output: usage.output_tokens };
    },
    async helper() {
      const texts = [];
      const stream = client.messages.stream(base).on("text", (text) => texts.push(text));
      const { content, stop_reason } = await stream.finalMessage();
      return { same: texts.join("") === content[0].text, stop_reason };
    },
    async tools() {
      const { content, stop_reason } = await ask({ messages: WEATHER, tools: TOOLS });
      const call = content.find((each) => each.type === "tool_use");
      const result = { type: "tool_result", tool_use_id: call.id, content: "3 days of sun" };
      const messages = [...WEATHER, { role: "assistant", content }, { role: "user", content: [result] }];
      const { content: then } = await ask({ messages, tools: TOOLS });
      return { stop_reason, name: call.name, input: call.input, then: then.map((each) => each.type) };
    },
    async toolsStreamed() {
      const parts = [];
      const stream = client.messages.stream({ ...base, messages: WEATHER, tools: TOOLS }).on("inputJson", (part) => parts.push(part));
      const { content, stop_reason } = await stream.finalMessage();
      const call = content.find((each) => each.type === "tool_use");
      return { stop_reason, name: call.name, input: call.input, whole: JSON.parse(parts.join("")) };
    },
    async short() {
      const { content, stop_reason, usage } = await ask({ max_tokens: 7, system: "Be short." });
      return { text: content[0].text, stop_reason, output: usage.output_tokens };
    },
    async image() {
      const source = { type: "base64", media_type: "image/png", data: PICTURE };
      const content = [{ type: "text", text: "What is it?" }, { type: "image", source }];
      return (await ask({ messages: [{ role: "user", content }] })).usage.input_tokens;
    },
    async unknown() {
      return ask({ model: "nope" });
    },
    async bad() {
      return ask({ messages: [] });
    },
    async count() {
      return client.messages.countTokens({ model: BIG, messages: HELLO, tools: TOOLS });
    },
    async leave() {
      const stream = await ask({ model: SMALL, stream: true });
      for await (const event of stream) {
        if (event.type !== "content_block_delta") continue;
        begun();
        stream.controller.abort();
      }
    },
    async dies() {
      return all(await ask({ model: SMALL, stream: true }));
    },
    async small() {
      return (await ask({ model: SMALL })).content[0].text;
    },
    async retried() {
      const patient = new Anthropic({ ...told, maxRetries: 2 });
      return (await patient.messages.create({ ...base, model: SMALL })).content[0].text;
    },
    async late() {
      const hasty = new Anthropic({ ...told, maxRetries: 0, timeout: 300 });
      return hasty.messages.create({ ...base, model: SMALL });
    },
  };
}
