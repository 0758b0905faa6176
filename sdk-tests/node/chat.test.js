// The Node SDK, chat completions, through upstreams of every dialect.
import assert from "node:assert/strict";
import test from "node:test";
import { citySchema, client, hello, paris, picture, pixel, streamed, timeSchema, toolAnswer, upstreams, weatherSchema, whole } from "./waypost.js";

const weather = { type: "function", function: { name: "get_weather", parameters: weatherSchema } };
const time = { type: "function", function: { name: "get_time", parameters: timeSchema } };
const question = { role: "user", content: "What is the weather in Paris?" };

for (const upstream of upstreams) {
  const model = `via-${upstream}`;

  test(`a plain chat is answered via ${upstream}`, async () => {
    const completion = await client.chat.completions.create({ model, messages: hello });
    assert.equal(completion.choices[0].message.content, whole[upstream]);
    assert.equal(completion.choices[0].finish_reason, "stop");
    assert.equal(completion.usage.total_tokens, completion.usage.prompt_tokens + completion.usage.completion_tokens);
  });

  test(`a streamed chat says the same text via ${upstream}`, async () => {
    const stream = await client.chat.completions.create({ model, messages: hello, stream: true });
    let text = "";
    const reasons = [];
    for await (const chunk of stream) {
      text += chunk.choices[0].delta.content ?? "";
      reasons.push(chunk.choices[0].finish_reason);
    }
    assert.equal(text, streamed);
    assert.deepEqual(reasons.filter(Boolean), ["stop"]);
    assert.ok(!reasons.includes(undefined), "finish_reason is null, not absent");
  });

  test(`a tool is called, answered, and the answer said via ${upstream}`, async () => {
    const first = await client.chat.completions.create({ model, messages: [question], tools: [weather] });
    const { message, finish_reason } = first.choices[0];
    assert.equal(finish_reason, "tool_calls");
    assert.deepEqual(JSON.parse(message.tool_calls[0].function.arguments), { city: "Paris" });
    const result = { role: "tool", tool_call_id: message.tool_calls[0].id, content: "21 °C, sunny" };
    const second = await client.chat.completions.create({ model, messages: [question, message, result], tools: [weather] });
    assert.equal(second.choices[0].message.content, toolAnswer);
  });

  test(`streamed parallel calls add up via ${upstream}`, async () => {
    const runner = client.chat.completions.stream({ model, messages: [question], tools: [weather, time] });
    const completion = await runner.finalChatCompletion();
    const calls = completion.choices[0].message.tool_calls.map((call) => [call.function.name, JSON.parse(call.function.arguments)]);
    assert.deepEqual(calls, [["get_weather", { city: "Paris" }], ["get_time", { zone: "Europe/Paris" }]]);
  });

  test(`an image is seen via ${upstream}`, async () => {
    const content = [{ type: "text", text: "What is this?" }, { type: "image_url", image_url: { url: pixel } }];
    const completion = await client.chat.completions.create({ model, messages: [{ role: "user", content }] });
    assert.equal(completion.choices[0].message.content, picture);
  });

  test(`a JSON schema is filled in via ${upstream}`, async () => {
    const completion = await client.chat.completions.create({
      model,
      messages: [{ role: "user", content: "Paris, as JSON" }],
      response_format: { type: "json_schema", json_schema: { name: "city", schema: citySchema, strict: true } },
    });
    assert.deepEqual(JSON.parse(completion.choices[0].message.content), paris);
  });
}
