// The Node SDK: errors as it types them.
import assert from "node:assert/strict";
import test from "node:test";
import OpenAI from "openai";
import { client, failing, hello, stranger, upstreams } from "./waypost.js";

test("a wrong key is an AuthenticationError", async () => {
  const asked = stranger.chat.completions.create({ model: "via-chat", messages: hello });
  await assert.rejects(asked, (error) => error instanceof OpenAI.AuthenticationError && error.code === "invalid_api_key");
});

test("an unknown model is a NotFoundError", async () => {
  const asked = client.chat.completions.create({ model: "no-such-model", messages: hello });
  await assert.rejects(asked, (error) => error instanceof OpenAI.NotFoundError && error.code === "model_not_found");
});

test("a bad field is a BadRequestError that names it", async () => {
  const asked = client.chat.completions.create({ model: "via-messages", messages: hello, temperature: "warm" });
  await assert.rejects(asked, (error) => error instanceof OpenAI.BadRequestError && error.param === "temperature");
});

for (const upstream of upstreams) {
  test(`an upstream's rate limit is a RateLimitError via ${upstream}`, async () => {
    await assert.rejects(client.chat.completions.create(failing(upstream, "429")), OpenAI.RateLimitError);
  });

  test(`an upstream's trouble is an InternalServerError via ${upstream}`, async () => {
    await assert.rejects(client.chat.completions.create(failing(upstream, "500")), OpenAI.InternalServerError);
  });

  test(`a cut stream is an error in the middle via ${upstream}`, async () => {
    let heard = "";
    const listen = async () => {
      const stream = await client.chat.completions.create({ ...failing(upstream, "cut"), stream: true });
      for await (const chunk of stream) heard += chunk.choices[0].delta.content ?? "";
    };
    await assert.rejects(listen, OpenAI.APIError);
    assert.match(heard, /^Hello/);
  });
}
