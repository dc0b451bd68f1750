import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateText, Output, stepCountIs, streamText, tool } from "ai";
import { createOllama as second } from "ai-sdk-ollama";
import { createOllama as first } from "ollama-ai-provider-v2";
import { z } from "zod";
import { begun, BIG, EMBED, PICTURE, SMALL } from "./asked.mjs";

const PROVIDERS = {
  "ollama-ai-provider-v2": (url) => first({ baseURL: `${url}/api` }),
  "ai-sdk-ollama": (url) => second({ baseURL: url }),
  "openai-compatible": (url) => createOpenAICompatible({ name: "herd", baseURL: `${url}/v1`, includeUsage: true, supportsStructuredOutputs: true }),
};

export function steps(url, way) {
  const provider = PROVIDERS[way](url);
  const big = provider(BIG);
  const small = provider(SMALL);
  const maxRetries = 0;
  const get_weather = tool({
    description: "Tell the weather",
    inputSchema: z.object({ city: z.string(), days: z.number().int() }),
    execute: async ({ city, days }) => `${city}: ${days} days of sun`,
  });
  const streamed = (asked) => streamText({ model: small, prompt: "hello", maxRetries, onError: () => {}, ...asked });
  return {
    async chat() {
      const { text, finishReason, usage } = await generateText({ model: big, prompt: "hello", maxRetries });
      return { text, finishReason, tokens: usage.outputTokens };
    },
    async stream() {
      const answer = streamed({ model: big });
      let chunks = 0;
      for await (const _ of answer.textStream) chunks += 1;
      return { text: await answer.text, many: chunks > 8, finishReason: await answer.finishReason, tokens: (await answer.usage).outputTokens };
    },
    async tools() {
      const answer = await generateText({ model: big, prompt: "Weather for 3 days?", tools: { get_weather }, stopWhen: stepCountIs(2), maxRetries });
      const called = answer.steps.flatMap((each) => each.toolResults).map((each) => [each.input, each.output]);
      return { called, steps: answer.steps.length, text: answer.text };
    },
    async json() {
      const schema = z.object({ name: z.string(), people: z.number().int() });
      return (await generateText({ model: big, prompt: "A town of 700 people", output: Output.object({ schema }), maxRetries })).output;
    },
    async image() {
      const content = [{ type: "text", text: "What is it?" }, { type: "file", data: PICTURE, mediaType: "image/png" }];
      return (await generateText({ model: big, messages: [{ role: "user", content }], maxRetries })).usage.inputTokens;
    },
    async embeddings() {
      const model = provider.textEmbeddingModel?.(EMBED) ?? provider.embeddingModel(EMBED);
      return (await embedMany({ model, values: ["a", "b"], maxRetries })).embeddings.map((each) => [each.length, each[0]]);
    },
    async unknown() {
      return (await generateText({ model: provider("nope"), prompt: "hello", maxRetries })).text;
    },
    async leave() {
      const leaving = new AbortController();
      for await (const _ of streamed({ abortSignal: leaving.signal }).textStream) {
        begun();
        leaving.abort();
      }
    },
    async dies() {
      let failed = null;
      const answer = streamed({ onError: ({ error }) => (failed ??= error) });
      for await (const _ of answer.textStream);
      throw failed ?? new Error("it ended well");
    },
    async small() {
      return (await generateText({ model: small, prompt: "hello", maxRetries })).text;
    },
    async retried() {
      return (await generateText({ model: small, prompt: "hello", maxRetries: 2 })).text;
    },
  };
}
