import { rm } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createInventory } from "../../../src/inventory/create-inventory.ts";
import type { InventoryOptions } from "../../../src/inventory/options.ts";
import { type AppId, appKey } from "../../../src/model/app.ts";
import type { Inventory } from "../../../src/ports/inventory.ts";
import { API, WEB, keys } from "../../contract/inventory.ts";
import { type Behaviour, Cmdb } from "../../support/cmdb.ts";
import { TEMPLATE, newFolder, settings, surroundings } from "./support.ts";

const go = () => new AbortController().signal;

describe("an inventory over HTTP", () => {
  let cmdb: Cmdb;
  let dir: string;
  let opened: Inventory[];

  beforeEach(async () => {
    cmdb = await Cmdb.start();
    dir = await newFolder();
    opened = [];
    cmdb.set(WEB, ["10.0.0.1"]);
    cmdb.set(API, ["10.0.0.2"]);
  });

  afterEach(async () => {
    for (const inventory of opened) await inventory[Symbol.asyncDispose]();
    await cmdb[Symbol.asyncDispose]();
    await rm(dir, { recursive: true });
  });

  function open(kind: Partial<InventoryOptions> = {}, secrets: Record<string, Record<string, string>> = {}): Inventory {
    const options = settings({ http: { url: cmdb.url + TEMPLATE, hosts: "data[].ip" }, ...kind });
    const read = async (name: string) => new Map(Object.entries(secrets[name]!));
    const inventory = createInventory(options, surroundings(dir, { secrets: { read } }));
    opened.push(inventory);
    return inventory;
  }

  function http(http: Partial<NonNullable<InventoryOptions["http"]>>): Partial<InventoryOptions> {
    return { http: { url: cmdb.url + TEMPLATE, hosts: "data[].ip", ...http } };
  }

  it.each<[string, Behaviour, RegExp]>([
    ["17: 500", { status: 500 }, /answered 500$/],
    ["17: 403", { status: 403 }, /answered 403; check the Secret/],
    ["17: no answer", "hang", /does not answer in time/],
    ["17: connection reset", "reset", /broke off its answer/],
    ["19: truncated", "truncated", /broke off its answer/],
    ["19: cut JSON", { body: '{"data":[{"ip":"10.0.' }, /no JSON \(application\/json, 21 characters\)/],
    ["19: HTML", "html", /no JSON \(text\/html/],
    ["19: another shape", { body: '{"error":"x"}' }, /"data\[\]\.ip" gives nothing, expected a list/],
    ["19: a list of numbers", { body: '{"data":[{"ip":1}]}' }, /gives a list with a number in it/],
    ["19: text", { body: '"10.0.0.1"' }, /gives nothing, expected a list/],
    ["19: empty body", { body: "" }, /no JSON/],
    ["19: compressed", "gzip", /answered compressed/],
    ["23: 1 GB", "huge", /answered with more than 16 MiB/],
    ["23: slow drip", "drip", /gave no whole answer in 1.5 s/],
    ["23: redirect loop", "redirect-loop", /redirects more than 3 times/],
    ["23: redirect elsewhere", { redirect: "http://169.254.169.254/secret" }, /only its own origin is followed/],
    ["23: redirect to a file", { redirect: "file:///etc/passwd" }, /only its own origin is followed/],
  ])("keeps the last good hosts of the one app whose query fails (fault %s)", async (_fault, behaviour, message) => {
    const inventory = open();
    await inventory.refresh([WEB, API], go());
    cmdb.set(API, ["10.0.0.2", "10.0.0.3"]);
    cmdb.behave(behaviour, appKey(WEB));
    const answer = await inventory.refresh([WEB, API], go());
    expect(keys(answer)).toEqual({
      "nginx/prod/web": ["10.0.0.1:22"],
      "nginx/prod/api": ["10.0.0.2:22", "10.0.0.3:22"],
    });
    expect(answer.problems).toEqual([
      { reason: "InventoryFailed", app: "nginx/prod/web", message: expect.stringMatching(message) },
    ]);
    cmdb.behave("ok", appKey(WEB));
    expect(await inventory.refresh([WEB, API], go())).toMatchObject({ problems: [] });
  });

  it("keeps everything when the CMDB is gone, and says it once for the whole query", async () => {
    const inventory = open(http({ url: `${cmdb.url}/api/all`, hosts: "data" }));
    const good = await inventory.refresh([WEB, API], go());
    await cmdb[Symbol.asyncDispose]();
    const answer = await inventory.refresh([WEB, API], go());
    expect(answer.hosts).toEqual(good.hosts);
    expect(answer.problems).toEqual([
      { reason: "InventoryFailed", app: null, message: expect.stringMatching(/refuses the connection|broke off/) },
    ]);
  });

  it("holds the whole answer for all apps when it lost more than maxShrinkPercent (fault 18)", async () => {
    const all = http({ url: `${cmdb.url}/api/all`, hosts: "data" });
    cmdb.set(WEB, ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    cmdb.set(API, ["10.0.1.1", "10.0.1.2"]);
    const inventory = open(all);
    const good = await inventory.refresh([WEB, API], go());
    cmdb.set(WEB, ["10.0.0.1"]);
    cmdb.set(API, ["10.0.1.1"]);
    const answer = await inventory.refresh([WEB, API], go());
    expect(answer.hosts).toEqual(good.hosts);
    expect(answer.problems).toEqual([
      {
        reason: "InventorySuspicious",
        app: null,
        message: "2 apps: 5 hosts became 2; the hosts known before stay (maxShrinkPercent is 50)",
      },
    ]);
  });

  it("asks once for 500 apps each at the start, at most 8 at a time (fault 22)", async () => {
    const apps = Array.from({ length: 500 }, (_, index): AppId => ({ ...WEB, app: `app-${index}` }));
    for (const [index, app] of apps.entries()) cmdb.set(app, [`10.0.${index >> 8}.${index & 255}`]);
    cmdb.delay = 5;
    const answer = await open().refresh(apps, go());
    expect(answer.problems).toEqual([]);
    expect([...answer.hosts.values()].every((hosts) => hosts.length === 1)).toBe(true);
    expect(cmdb.requests).toHaveLength(500);
    expect(cmdb.mostAtOnce).toBeLessThanOrEqual(8);
    expect(cmdb.mostAtOnce).toBeGreaterThan(1);
  });

  it("stops asking a CMDB that answers nothing, and says so once for the rest (fault 22)", async () => {
    const apps = Array.from({ length: 100 }, (_, index): AppId => ({ ...WEB, app: `app-${index}` }));
    cmdb.behave("hang");
    const answer = await open().refresh(apps, go());
    expect(cmdb.requests.length).toBeLessThan(20);
    const whole = answer.problems.filter(({ app }) => app === null);
    expect(whole).toEqual([expect.objectContaining({ message: expect.stringContaining("no more were asked") })]);
    // Nobody knows their hosts: that is not the same as none.
    expect(answer.hosts.size).toBe(0);
  });

  it("sends one request for apps whose URLs are equal", async () => {
    const inventory = createInventory(
      {
        ...settings(http({ url: `${cmdb.url}/api/hosts?env={env}&app={app}` })),
        envAliases: { bx: "prod", wgq: "prod" },
      },
      surroundings(dir),
    );
    opened.push(inventory);
    const answer = await inventory.refresh([WEB, { ...WEB, env: "bx" }, { ...WEB, env: "wgq" }], go());
    expect(cmdb.requests).toHaveLength(1);
    expect([...answer.hosts.values()].map((hosts) => hosts.length)).toEqual([1, 1, 1]);
  });

  it("encodes what it puts into the URL", async () => {
    const odd = { mod: "a&b=c", env: "../x", app: "ü/# ?" };
    cmdb.set(WEB, []);
    await open(http({ url: `${cmdb.url}/api/hosts?mod={mod}&env={env}&app={app}` })).refresh([odd], go());
    expect(cmdb.requests[0]?.url).toBe("/api/hosts?mod=a%26b%3Dc&env=..%2Fx&app=%C3%BC%2F%23%20%3F");
  });

  it("follows a redirect within its own origin", async () => {
    cmdb.behave({ redirect: "/api/all" }, appKey(WEB));
    const inventory = open(http({ hosts: "data[?app=='web'].address || data[].ip" }));
    expect(keys(await inventory.refresh([WEB], go()))).toEqual({ "nginx/prod/web": ["10.0.0.1:22"] });
  });

  it("sends a token as Bearer and a user with password as Basic, and reads the Secret anew each time", async () => {
    const secrets: Record<string, Record<string, string>> = { cmdb: { token: "t0ken" } };
    const inventory = open(http({ secretRef: { name: "cmdb" } }), secrets);
    cmdb.authorization = "Bearer t0ken";
    expect(await inventory.refresh([WEB], go())).toMatchObject({ problems: [] });
    secrets["cmdb"] = { username: "bob", password: "pä:ss" };
    cmdb.authorization = `Basic ${Buffer.from("bob:pä:ss").toString("base64")}`;
    expect(await inventory.refresh([WEB], go())).toMatchObject({ problems: [] });
  });

  it.each([
    ["nothing usable", { password: "hunter2" }],
    ["a token with a newline", { token: "hunter2\nx: y" }],
    ["an empty token", { token: "" }],
    ["a user with a colon", { username: "a:hunter2", password: "hunter2" }],
  ])("keeps the last good hosts when the Secret has %s, without showing it", async (_what, secret) => {
    await open().refresh([WEB], go());
    const answer = await open(http({ secretRef: { name: "cmdb" } }), { cmdb: secret }).refresh([WEB], go());
    expect(keys(answer)["nginx/prod/web"]).toEqual(["10.0.0.1:22"]);
    expect(answer.problems).toEqual([expect.objectContaining({ reason: "SecretInvalid", app: null })]);
    expect(JSON.stringify(answer.problems)).not.toContain("hunter2");
  });

  it("shows no secret and no query of the URL when a request fails", async () => {
    const inventory = open(http({ url: `${cmdb.url}/api/hosts?app={app}&key=hunter2`, secretRef: { name: "c" } }), {
      c: { token: "hunter3" },
    });
    for (const behaviour of ["hang", "reset", "html", "redirect-loop", { status: 401 }] as const) {
      cmdb.behave(behaviour);
      const { problems } = await inventory.refresh([WEB], go());
      expect(problems).toHaveLength(1);
      expect(JSON.stringify(problems)).not.toMatch(/hunter/);
    }
  });

  it("gives up at once, with Interrupted, when it is told to", async () => {
    cmdb.behave("hang");
    const abort = new AbortController();
    const refreshed = open().refresh([WEB, API], abort.signal);
    await expect.poll(() => cmdb.requests.length).toBe(2);
    abort.abort();
    await expect(refreshed).rejects.toMatchObject({ reason: "Interrupted" });
  });

  it("takes host objects of any shape through JMESPath and lets the CMDB's own keys be", async () => {
    cmdb.set(WEB, [{ address: "web-1", user: "deploy", port: "2222", serial: "x" }]);
    const answer = await open(http({ hosts: "data" })).refresh([WEB], go());
    expect(answer.hosts.get("nginx/prod/web")?.[0]).toMatchObject({ address: "web-1", port: 2222, user: "deploy" });
  });

  it("refuses hosts that do not say their app where one answer is for all, and counts when they are many", async () => {
    cmdb.behave({ body: JSON.stringify({ data: Array.from({ length: 150 }, (_, index) => `10.1.0.${index}`) }) });
    const answer = await open(http({ url: `${cmdb.url}/api/all`, hosts: "data" })).refresh([WEB], go());
    expect(answer.problems).toHaveLength(101);
    expect(answer.problems[0]?.message).toBe('host "10.1.0.0" does not say which app it belongs to');
    expect(answer.problems.at(-1)?.message).toBe("50 more hosts are not valid");
  });

  it("has one answer for 10,000 hosts of 500 apps in reasonable time", async () => {
    const apps = Array.from({ length: 500 }, (_, index): AppId => ({ ...WEB, app: `app-${index}` }));
    for (const [index, app] of apps.entries())
      cmdb.set(
        app,
        Array.from({ length: 20 }, (_, host) => `10.${host}.${index >> 8}.${index & 255}`),
      );
    const inventory = open(http({ url: `${cmdb.url}/api/all`, hosts: "data" }));
    const start = performance.now();
    const answer = await inventory.refresh(apps, go());
    expect(answer.hosts.get("nginx/prod/app-499")).toHaveLength(20);
    expect(performance.now() - start).toBeLessThan(5000);
  });

  it.each<[string, Behaviour]>([
    ["a map", { body: "{}" }],
    ["groups without targets", { body: '[{"labels":{}}]' }],
    ["targets that are no texts", { body: '[{"targets":[1]}]' }],
    ["HTML", "html"],
  ])("refuses %s where http_sd is expected (fault 19)", async (_what, behaviour) => {
    const labels = { mod: "mod", env: "env", app: "app" };
    const inventory = open({ http: undefined, httpSD: { url: `${cmdb.url}/sd`, labels } });
    await inventory.refresh([WEB], go());
    cmdb.behave(behaviour);
    const answer = await inventory.refresh([WEB], go());
    expect(keys(answer)).toEqual({ "nginx/prod/web": ["10.0.0.1:22"] });
    expect(answer.problems).toEqual([expect.objectContaining({ reason: "InventoryFailed", app: null })]);
  });
});
