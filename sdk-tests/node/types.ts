// A small program against the administration, written with the types that `openapi-typescript` makes of `/openapi.json`. That it
// compiles is half of the test; `types.test.js` runs it.
import createClient from "openapi-fetch";
import type { components, paths } from "./generated/waypost.js";

type Key = components["schemas"]["Key"];

export interface Done {
  key: Key;
  text: string;
  calls: string[];
  pages: number;
  factor: string;
  stale: number;
  nobody: string;
}

/** Makes a key, calls with it, reads the log page by page, and changes a plan that nobody has changed meanwhile. */
export async function run(baseUrl: string, token: string): Promise<Done> {
  const admin = createClient<paths>({ baseUrl, headers: { authorization: `Bearer ${token}` } });

  const plan = await admin.POST("/admin/plans", { body: { name: `typed ${Date.now()}`, price_factor: "1" } });
  if (plan.error) throw new Error(plan.error.error.message);
  const made = await admin.POST("/admin/keys", { body: { name: "typed", plan: plan.data.id } });
  if (made.error) throw new Error(made.error.error.message);
  const { key: text, ...key } = made.data;

  const list = async (after?: string): Promise<components["schemas"]["CallPage"]> => {
    const query = after === undefined ? { limit: 2, key: key.id } : { limit: 2, key: key.id, after };
    const page = await admin.GET("/admin/logs", { params: { query } });
    if (page.error) throw new Error(page.error.error.message);
    return page.data;
  };
  const calls = new Set<string>();
  for (let number = 0; number < 3; number += 1) {
    const answer = await fetch(`${baseUrl}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${text}`, "content-type": "application/json" },
      body: JSON.stringify({ model: "via-chat", messages: [{ role: "user", content: "Hello!" }] }),
    });
    if (!answer.ok) throw new Error(await answer.text());
  }
  let pages = 0;
  for (let tries = 0; tries < 200 && calls.size < 3; tries += 1) {
    // The log is written in batches.
    if (tries > 0) await new Promise((awake) => setTimeout(awake, 100));
    pages = 0;
    for (let page = await list(); ; page = await list(page.next)) {
      for (const call of page.data) calls.add(call.request_id);
      pages += 1;
      if (page.next === null) break;
    }
  }

  const path = { id: plan.data.id };
  const version = plan.response.headers.get("etag") ?? "";
  const change = { params: { path, header: { "If-Match": version } }, body: { price_factor: "0.5" } };
  const changed = await admin.PATCH("/admin/plans/{id}", change);
  if (changed.error) throw new Error(changed.error.error.message);
  const stale = await admin.PATCH("/admin/plans/{id}", change);

  const nobody = await createClient<paths>({ baseUrl }).GET("/auth/profile");
  return {
    key,
    text,
    calls: [...calls],
    pages,
    factor: changed.data.price_factor,
    stale: stale.response.status,
    nobody: nobody.error?.error.code ?? "",
  };
}

/** What does not compile: each line is refused by the types, or else `tsc` says that it expected an error. */
export async function wrong(baseUrl: string): Promise<void> {
  const admin = createClient<paths>({ baseUrl });
  // @ts-expect-error There is no such path.
  await admin.GET("/admin/kees");
  // @ts-expect-error A key needs a name.
  await admin.POST("/admin/keys", { body: {} });
  // @ts-expect-error Limits are numbers.
  await admin.POST("/admin/plans", { body: { name: "p", rpm: "5" } });
  // @ts-expect-error There is no such role.
  await admin.POST("/admin/users", { body: { email: "a@example.com", role: "king" } });
  // @ts-expect-error A change names the version that it is done to.
  await admin.PATCH("/admin/plans/{id}", { params: { path: { id: "plan_1" } }, body: { rpm: 5 } });
  const { data } = await admin.GET("/admin/keys/{id}", { params: { path: { id: "key_1" } } });
  // @ts-expect-error The text of a key is shown once, when it is made.
  data?.key;
}
