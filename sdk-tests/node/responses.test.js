// The Node SDK, responses, through upstreams of every dialect.
import assert from "node:assert/strict";
import test from "node:test";
import { client, streamed, toolAnswer, upstreams, weatherSchema, whole } from "./waypost.js";

const weather = { type: "function", name: "get_weather", parameters: weatherSchema, strict: true };
const question = { role: "user", content: "What is the weather in Paris?" };

for (const upstream of upstreams) {
  const model = `via-${upstream}`;

  test(`a plain response is answered via ${upstream}`, async () => {
    const response = await client.responses.create({ model, input: "Hello!" });
    assert.equal(response.status, "completed");
    assert.equal(response.output_text, whole[upstream]);
  });

  test(`a streamed response ends completed via ${upstream}`, async () => {
    const kinds = [];
    let text = "";
    for await (const event of await client.responses.create({ model, input: "Hello!", stream: true })) {
      kinds.push(event.type);
      if (event.type === "response.output_text.delta") text += event.delta;
    }
    assert.equal(kinds[0], "response.created");
    assert.equal(kinds.at(-1), "response.completed");
    assert.equal(text, streamed);
  });

  test(`a function is called, answered, and the answer said via ${upstream}`, async () => {
    const first = await client.responses.create({ model, input: [question], tools: [weather] });
    const call = first.output.find((item) => item.type === "function_call");
    assert.deepEqual(JSON.parse(call.arguments), { city: "Paris" });
    const result = { type: "function_call_output", call_id: call.call_id, output: "21 °C, sunny" };
    const second = await client.responses.create({ model, input: [question, ...first.output, result], tools: [weather] });
    assert.equal(second.output_text, toolAnswer);
  });
}
