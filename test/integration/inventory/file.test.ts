import { mkdir, readdir, readFile, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createInventory } from "../../../src/inventory/create-inventory.ts";
import type { Inventory } from "../../../src/ports/inventory.ts";
import { WEB, keys } from "../../contract/inventory.ts";
import { newFolder, settings, surroundings } from "./support.ts";

const go = () => new AbortController().signal;

describe("an inventory in a file", () => {
  let dir: string;
  let path: string;
  let inventory: Inventory;

  beforeEach(async () => {
    dir = await newFolder();
    path = join(dir, "hosts.yaml");
    inventory = createInventory(settings({ file: { path } }), surroundings(join(dir, "data")));
  });

  afterEach(async () => {
    await inventory[Symbol.asyncDispose]();
    await rm(dir, { recursive: true });
  });

  it("reads YAML, and JSON", async () => {
    await writeFile(path, "- { address: web-1, app: web }\n- { address: web-2, app: web, env: test }\n");
    expect(keys(await inventory.refresh([WEB], go()))).toEqual({ "nginx/prod/web": ["web-1:22"] });
    await writeFile(path, JSON.stringify([{ address: "web-3", app: "web", mod: "nginx" }]));
    expect(keys(await inventory.refresh([WEB], go()))).toEqual({ "nginx/prod/web": ["web-3:22"] });
  });

  it("refuses an unknown key of one host by name and goes on with its siblings", async () => {
    await writeFile(path, "- { address: web-1, app: web }\n- { address: web-2, app: web, prot: 22 }\n");
    const answer = await inventory.refresh([WEB], go());
    expect(keys(answer)).toEqual({ "nginx/prod/web": ["web-1:22"] });
    expect(answer.problems).toEqual([
      { reason: "InvalidHost", app: null, message: 'host "web-2": it has the unknown key "prot"' },
    ]);
  });

  it.each([
    ["is empty", ""],
    ["is a map", "hosts: []"],
    ["is cut", "- { address: web-1, app: we"],
    ["is an alias bomb", `- &a [x]\n- &b [${"*a,".repeat(200)}]\n- [${"*b,".repeat(200)}]\n`],
  ])("keeps the last good hosts when the file %s (fault 19)", async (_what, content) => {
    await writeFile(path, "- { address: web-1, app: web }\n");
    await inventory.refresh([WEB], go());
    await writeFile(path, content);
    const answer = await inventory.refresh([WEB], go());
    expect(keys(answer)).toEqual({ "nginx/prod/web": ["web-1:22"] });
    expect(answer.problems).toEqual([{ reason: "InventoryFailed", app: null, message: expect.stringContaining(path) }]);
  });

  it("calls back when the file is written, and when another is put in its place", async () => {
    await writeFile(path, "[]");
    let calls = 0;
    using _watch = inventory.watch!(() => (calls += 1));
    await writeFile(path, "- { address: web-1, app: web }\n");
    await expect.poll(() => calls, { timeout: 5000 }).toBe(1);
    await writeFile(`${path}.new`, "[]");
    await rename(`${path}.new`, path);
    await expect.poll(() => calls, { timeout: 5000 }).toBe(2);
  });

  it("calls back when Kubernetes swaps the folder that the file is linked into", async () => {
    for (const version of ["one", "two"]) {
      await mkdir(join(dir, version));
      await writeFile(join(dir, version, "hosts.yaml"), `- { address: ${version}, app: web }\n`);
    }
    await symlink("one", join(dir, "..data"));
    await symlink("..data/hosts.yaml", path);
    let calls = 0;
    using _watch = inventory.watch!(() => (calls += 1));
    await symlink("two", join(dir, "..data_tmp"));
    await rename(join(dir, "..data_tmp"), join(dir, "..data"));
    await expect.poll(() => calls, { timeout: 5000 }).toBeGreaterThan(0);
    expect(keys(await inventory.refresh([WEB], go()))).toEqual({ "nginx/prod/web": ["two:22"] });
  });

  it("does without watching where there is no folder to watch", async () => {
    const nowhere = createInventory(settings({ file: { path: join(dir, "no", "hosts.yaml") } }), surroundings(dir));
    nowhere.watch!(() => {})[Symbol.dispose]();
    expect((await nowhere.refresh([WEB], go())).problems[0]?.message).toContain("is missing");
  });
});

describe("the last good answer on disk", () => {
  it("is private, whole, and written only when it changes", async () => {
    const dir = await newFolder();
    const group = { ...WEB, hosts: ["10.0.0.1"] };
    const inventory = createInventory(settings({ static: [group] }), surroundings(dir));
    await inventory.refresh([WEB], go());
    const first = await stat(join(dir, "inventory.json"));
    expect(first.mode & 0o777).toBe(0o600);
    await inventory.refresh([WEB], go());
    expect((await stat(join(dir, "inventory.json"))).ino).toBe(first.ino);
    expect(await readdir(dir)).toEqual(["inventory.json"]);
    expect(JSON.parse(await readFile(join(dir, "inventory.json"), "utf8"))).toMatchObject({ version: 1 });
    await rm(dir, { recursive: true });
  });

  it.each(["", "{", "[]", '{"version":2,"apps":{}}', '{"version":1,"apps":{"a/b/c":{"askedOn":"x"}}}'])(
    "counts as none when the file holds %j",
    async (content) => {
      const dir = await newFolder();
      await writeFile(join(dir, "inventory.json"), content);
      const inventory = createInventory(settings({ static: [{ ...WEB, hosts: ["a"] }] }), surroundings(dir));
      expect(await inventory.lastGood([WEB])).toBeNull();
      expect(keys(await inventory.refresh([WEB], go()))).toEqual({ "nginx/prod/web": ["a:22"] });
      expect(await inventory.lastGood([WEB])).not.toBeNull();
      await rm(dir, { recursive: true });
    },
  );

  it("takes the user and the port of the configuration as it is now", async () => {
    const dir = await newFolder();
    const options = settings({ static: [{ ...WEB, hosts: ["a"] }] });
    await createInventory(options, surroundings(dir)).refresh([WEB], go());
    const later = createInventory(options, surroundings(dir, { defaults: { user: "deploy", port: 2222 } }));
    expect((await later.lastGood([WEB]))?.hosts.get("nginx/prod/web")).toEqual([
      { key: "a:2222", address: "a", port: 2222, user: "deploy", root: "/" },
    ]);
    await rm(dir, { recursive: true });
  });

  it("does not stop the answer when it cannot be written", async () => {
    const dir = await newFolder();
    await writeFile(join(dir, "file"), "");
    const options = settings({ static: [{ ...WEB, hosts: ["a"] }] });
    const inventory = createInventory(options, surroundings(join(dir, "file", "below")));
    expect(keys(await inventory.refresh([WEB], go()))).toEqual({ "nginx/prod/web": ["a:22"] });
    expect(await inventory.lastGood([WEB])).not.toBeNull();
    await rm(dir, { recursive: true });
  });
});
