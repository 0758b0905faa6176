// The description of the management API: valid as OpenAPI 3.1, and good enough to write a program with. Types are made of what the
// running gateway serves, a program is compiled with them, and run against the same gateway.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import test from "node:test";
import { Validator } from "@seriousme/openapi-schema-validator";

const { WAYPOST_URL, WAYPOST_ADMIN_TOKEN } = process.env;
const here = fileURLToPath(new URL(".", import.meta.url));

async function described() {
  const answer = await fetch(`${WAYPOST_URL}/openapi.json`);
  assert.equal(answer.status, 200);
  return answer.json();
}

// Runs a program of `node_modules` as `npx` would.
function tool(path, ...words) {
  try {
    execFileSync(process.execPath, [`${here}node_modules/${path}`, ...words], { cwd: here, encoding: "utf8" });
  } catch (error) {
    assert.fail(`${path}: ${error.stdout}${error.stderr}`);
  }
}

test("the description is valid OpenAPI 3.1", async () => {
  const validator = new Validator();
  const document = await described();
  const { valid, errors } = await validator.validate(structuredClone(document));
  assert.ok(valid, JSON.stringify(errors, null, 2));
  assert.equal(validator.version, "3.1");
  // The validator is able to find something.
  document.paths["/admin/keys"].get.parameters[0].in = "nowhere";
  assert.equal((await new Validator().validate(document)).valid, false);
});

test("types are made of it, and a program that uses them compiles and runs 001-29", async () => {
  mkdirSync(`${here}generated`, { recursive: true });
  writeFileSync(`${here}generated/openapi.json`, JSON.stringify(await described()));
  tool("openapi-typescript/bin/cli.js", "generated/openapi.json", "--output", "generated/waypost.d.ts");
  tool("typescript/bin/tsc", "--project", "tsconfig.json");
  const { run } = await import("./generated/built/types.js");
  const done = await run(WAYPOST_URL, WAYPOST_ADMIN_TOKEN);
  assert.match(done.text, /^wp-/);
  assert.equal(done.key.name, "typed");
  assert.equal(done.calls.length, 3);
  assert.ok(done.pages >= 2, "two calls to a page");
  assert.deepEqual([done.factor, done.stale, done.nobody], ["0.5", 412, "invalid_session"]);
});
