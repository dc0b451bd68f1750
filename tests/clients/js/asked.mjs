// What every package is asked for.

export const BIG = "llama3.3:70b";
export const SMALL = "llama3.2:3b";
export const EMBED = "nomic-embed-text";
export const HELLO = [{ role: "user", content: "hello" }];
export const WEATHER = [{ role: "user", content: "Weather for 3 days?" }];
export const PICTURE = Buffer.from("\x89PNG".repeat(50_000), "latin1").toString("base64");

export const TOOL = {
  type: "function",
  function: {
    name: "get_weather",
    description: "Tell the weather",
    parameters: {
      type: "object",
      properties: { city: { type: "string" }, days: { type: "integer" } },
      required: ["city", "days"],
    },
  },
};

export const TOWN = {
  type: "object",
  properties: { name: { type: "string" }, people: { type: "integer" } },
  required: ["name", "people"],
};

export async function all(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

export function begun() {
  process.stderr.write("first\n");
}
