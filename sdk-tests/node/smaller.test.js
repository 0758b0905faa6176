// The Node SDK: embeddings, legacy completions and the list of models.
import assert from "node:assert/strict";
import test from "node:test";
import { client } from "./waypost.js";

test("embeddings arrive as floats by the SDK's own choice of base64", async () => {
  const answer = await client.embeddings.create({ model: "text-embedding-3-small", input: "hello" });
  assert.deepEqual(answer.data[0].embedding, [1, -0.5, 0.25, 0]);
});

test("a legacy completion is answered", async () => {
  const answer = await client.completions.create({ model: "gpt-3.5-turbo-instruct", prompt: "Say this is a test" });
  assert.equal(answer.choices[0].text, "\n\nThis is indeed a test");
});

test("models are listed by the names callers use", async () => {
  const names = [];
  for await (const model of client.models.list()) names.push(model.id);
  assert.ok(["via-chat", "via-responses", "via-messages", "via-gemini"].every((name) => names.includes(name)));
});
