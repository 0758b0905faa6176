// What every test shares: a client of the live Waypost and the recorded texts of its upstreams.
// `cargo xtask sdk node` starts everything and sets the variables.
import OpenAI from "openai";

const { WAYPOST_URL, WAYPOST_KEY } = process.env;

export const client = new OpenAI({ baseURL: `${WAYPOST_URL}/v1`, apiKey: WAYPOST_KEY, maxRetries: 0, timeout: 20_000 });

export const stranger = new OpenAI({ baseURL: `${WAYPOST_URL}/v1`, apiKey: "wp-wrong", maxRetries: 0 });

export const upstreams = ["chat", "responses", "messages", "gemini"];

export const streamed = "Hello! The café opens at 9 ☕.";
export const whole = {
  chat: "Hello! How can I assist you today?",
  responses: streamed,
  messages: "Hello! How can I help you today?",
  gemini: "Hello! How can I help you today?",
};
export const toolAnswer = "It is 21 °C and sunny in Paris.";
export const picture = "The picture shows a lighthouse at night.";
export const paris = { city: "Paris", population: 2102650 };
export const pixel =
  "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

export const hello = [{ role: "user", content: "Hello!" }];

export const weatherSchema = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};
export const timeSchema = {
  type: "object",
  properties: { zone: { type: "string" } },
  required: ["zone"],
  additionalProperties: false,
};
export const citySchema = {
  type: "object",
  properties: { city: { type: "string" }, population: { type: "integer" } },
  required: ["city", "population"],
  additionalProperties: false,
};

// A request that makes this upstream fail in this way, on a channel of its own.
export function failing(upstream, fault) {
  const marker = /^\d+$/.test(fault) ? `[fail ${fault}]` : `[${fault}]`;
  return { model: `via-${upstream}-fails-${fault}`, messages: [{ role: "user", content: `please ${marker}` }] };
}
