import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { loadConfigRepos } from "../../../src/config/load.ts";
import { MINIMAL, document, load, mistakes, write } from "./documents.ts";

describe("loading a configuration file", () => {
  it("fills in every default of the design", async () => {
    const [config] = await load(document(MINIMAL));
    expect(config).toEqual({
      apiVersion: "fssync.dev/v1alpha1",
      kind: "ConfigRepo",
      metadata: { name: "serverfiles" },
      spec: {
        drift: { interval: 3_600_000, action: "report", concurrency: 8, ignore: [], keep: 5 },
        git: {
          url: "https://git.example.com/ops/files.git",
          branch: "main",
          interval: 10_000,
          timeout: 60_000,
          author: { name: "fssync", email: "fssync@localhost" },
        },
        layout: {},
        inventory: { interval: 60_000, envAliases: {}, maxShrinkPercent: 50, static: [] },
        ssh: {
          user: "root",
          port: 22,
          hostKeys: "strict",
          client: "builtin",
          sudo: false,
          connectTimeout: 10_000,
          maxConnections: 10_000,
        },
        sync: { concurrency: 64, timeout: 300_000, owner: "root", group: "root", prune: true, maxDeletePercent: 20 },
        suspend: false,
      },
    });
  });

  it("reads several documents of one file and skips empty ones", async () => {
    const configs = await load(
      ["---", document(MINIMAL, "one"), "---", document(MINIMAL, "two"), "---", ""].join("\n"),
    );
    expect(configs.map(({ metadata }) => metadata.name)).toEqual(["one", "two"]);
  });

  it("ignores $schema and the metadata of Kubernetes", async () => {
    const text = `$schema: ./fssync.schema.json\n${document(MINIMAL).replace("name: serverfiles", "name: a, namespace: b, labels: {c: d}")}`;
    expect(await load(text)).toHaveLength(1);
  });

  it("reads the path of an inventory file relative to the document", async () => {
    const file = await write(
      document("git: { url: 'git@example.com:a.git' }\ninventory: { file: { path: hosts.yaml } }"),
    );
    const [config] = await loadConfigRepos(file, { allowFileUrls: false });
    expect(config?.spec.inventory.file?.path).toBe(join(dirname(file), "hosts.yaml"));
  });

  it("accepts numeric owners and the default labels of http_sd", async () => {
    const [config] = await load(
      document(`
git: { url: "ssh://git@example.com:2222/a.git" }
inventory: { httpSD: { url: "http://cmdb.example.com/sd" } }
sync: { owner: 0, group: "33" }`),
    );
    expect(config?.spec.sync).toMatchObject({ owner: "0", group: "33" });
    expect(config?.spec.inventory.httpSD?.labels).toEqual({ mod: "mod", env: "env", app: "app" });
  });

  it("names file, line, document, path, value and expectation of a mistake", async () => {
    expect(
      await mistakes(document(`git:\n  url: https://a.example/b\n  interval: "10"\ninventory: { static: [] }`)),
    ).toEqual([`fssync.yaml:7: serverfiles: spec.git.interval: "10" — expected a duration like 10s, 5m or 1h`]);
  });

  it("tells all mistakes of all documents at once, in the order of their lines", async () => {
    const first = document(
      `git: { url: https://a.example/b, interval: 10, timeut: 1s }\ninventory: { http: {}, static: [] }\nsuspend: 1`,
      "one",
    );
    const second = document("inventory: {}\nssh: { client: putty, port: 70000, maxConnections: 0 }", "two");
    expect(await mistakes(`${first}---\n${second}`)).toEqual([
      "fssync.yaml:5: one: spec.git.interval: 10 — expected a duration like 10s, 5m or 1h",
      "fssync.yaml:5: one: spec.git.timeut: unknown key — expected one of url, branch, interval, timeout, secretRef, webhook, author",
      "fssync.yaml:6: one: spec.inventory.http.url: missing — expected a URL",
      "fssync.yaml:6: one: spec.inventory: {http, static} — expected exactly one of http, httpSD, file, static",
      "fssync.yaml:7: one: spec.suspend: 1 — expected true or false",
      "fssync.yaml:12: two: spec.git: missing — expected a map",
      "fssync.yaml:13: two: spec.inventory: {} — expected exactly one of http, httpSD, file, static",
      `fssync.yaml:14: two: spec.ssh.port: 70000 — expected a port, 1 to 65535`,
      `fssync.yaml:14: two: spec.ssh.client: "putty" — expected builtin or openssh`,
      `fssync.yaml:14: two: spec.ssh.maxConnections: 0 — expected a whole number from 1 to 100000`,
    ]);
  });

  it("refuses two documents of one name and says where the first is", async () => {
    expect(await mistakes(`${document(MINIMAL)}---\n${document(MINIMAL)}`)).toEqual([
      `fssync.yaml:10: serverfiles: metadata.name: "serverfiles" — expected a name of its own; line 3 has it too`,
    ]);
  });

  it("refuses another kind or apiVersion", async () => {
    const text = document(MINIMAL).replace("v1alpha1", "v2").replace("ConfigRepo", "Deployment");
    expect(await mistakes(text)).toEqual([
      `fssync.yaml:1: serverfiles: apiVersion: "fssync.dev/v2" — expected fssync.dev/v1alpha1`,
      `fssync.yaml:2: serverfiles: kind: "Deployment" — expected ConfigRepo`,
    ]);
  });

  it.each([
    ["an empty file", "", "fssync.yaml:1: no document — expected at least one of kind ConfigRepo"],
    ["a file of comments", "# nothing\n---\n", "fssync.yaml:1: no document — expected at least one of kind ConfigRepo"],
    ["a list", "- 1\n", "fssync.yaml:1: document 1: a list of 1 — expected a map"],
    ["a syntax error", "a: 1\nb: [\n", /^fssync\.yaml:3: not YAML: /],
    ["a key twice", "kind: a\nkind: b\n", "fssync.yaml:2: kind: a second time — expected each key once in a map"],
    ["an alias bomb", `a: &a [x]\nb: &b [${"*a,".repeat(50)}]\nc: [${"*b,".repeat(50)}]\n`, /alias/],
  ])("refuses %s", async (_what, text, expected) => {
    const [first] = await mistakes(text);
    if (typeof expected === "string") expect(first).toBe(expected);
    else expect(first).toMatch(expected);
  });

  it("says that a file is missing", async () => {
    await expect(loadConfigRepos("no/such.yaml", { allowFileUrls: false })).rejects.toMatchObject({
      reason: "InvalidSpec",
      message: "no/such.yaml: cannot be read: there is no such file",
    });
  });

  it("keeps each mistake on its line, whatever a key holds", async () => {
    expect(await mistakes(`${document(MINIMAL)}"a\\n\\e[31m": 1\n`)).toEqual([
      "fssync.yaml:7: serverfiles: a\\x0a\\x1b[31m: unknown key — expected one of apiVersion, kind, metadata, spec",
    ]);
  });

  it("shows no credentials of a URL and no value of an unknown key", async () => {
    const text = document(`
git: { url: "https://bob:hunter2@example.com/a.git", password: hunter2 }
inventory: { http: { url: "http://bob:hunter2@cmdb/x" }, token: hunter2 }`);
    const lines = await mistakes(text);
    expect(lines).toHaveLength(4);
    expect(lines.join("\n")).not.toContain("hunter2");
  });
});
