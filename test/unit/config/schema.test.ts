import { describe, expect, it } from "vitest";
import { load, mistakes, document } from "./documents.ts";

const INVENTORY = "inventory: { static: [] }";
const GIT = "git: { url: 'https://a.example/b.git' }";

describe("the schema of a ConfigRepo", () => {
  it.each([
    "https://gitlab.example.com/ops/serverfiles.git",
    "https://gitlab.example.com:8443/ops/serverfiles.git",
    "https://[2001:db8::1]/ops/a.git",
    "ssh://git@gitlab.example.com:2222/ops/a.git",
    "ssh://gitlab.example.com/~ops/a.git",
    "git@gitlab.example.com:ops/a.git",
    "gitlab:a",
  ])("accepts the Git URL %s", async (url) => {
    expect(await mistakes(document(`git: { url: "${url}" }\n${INVENTORY}`))).toEqual([]);
  });

  it.each([
    "-oProxyCommand=x",
    "--upload-pack=touch x",
    "ext::sh -c x",
    "EXT::x",
    "fd::17",
    "http://example.com/a.git",
    "git://example.com/a.git",
    "ftp://example.com/a",
    "file://host/a",
    "ssh://-oProxyCommand=x/a",
    "ssh://git:pw@example.com/a",
    "-x@example.com:a",
    "git@-oProxyCommand=x:a",
    "git@example.com:-x",
    "git@example.com:",
    "https://example.com/",
    "https://user@example.com/a.git",
    "https://example.com/a b",
    "https://example.com/a\\n",
    "/srv/a.git",
    "",
  ])("refuses the Git URL %j (fault 16)", async (url) => {
    const lines = await mistakes(document(`git: { url: "${url}" }\n${INVENTORY}`), { allowFileUrls: true });
    expect(lines).toEqual([expect.stringContaining("spec.git.url")]);
  });

  it("accepts a file URL only when asked to", async () => {
    const text = document(`git: { url: "file:///srv/a.git" }\n${INVENTORY}`);
    expect(await mistakes(text)).toEqual([expect.stringContaining("only with --allow-file-urls")]);
    expect(await load(text, { allowFileUrls: true })).toHaveLength(1);
  });

  it.each([
    ["http: { url: 'http://c/x?env={env}&app={app}&m={mod}', hosts: 'data[].ip' }", true],
    ["http: { url: 'https://c/{mod}/{app}' }", true],
    ["http: { url: 'http://c/{host}' }", false],
    ["http: { url: 'http://c/{app' }", false],
    ["http: { url: 'http://{app}.c/x' }", false],
    ["http: { url: 'file:///etc/passwd' }", false],
    ["http: { url: 'http://u:p@c/' }", false],
    ["http: { url: 'http://c/', hosts: 'data[' }", false],
    ["httpSD: { url: 'http://c/sd?app={app}' }", false],
    ["httpSD: { url: 'http://c/sd', labels: { mod: '__meta_mod' } }", true],
    ["static: [{ mod: a, env: b, app: c, hosts: ['10.0.0.1', '10.0.0.2:2222', { address: x, user: deploy }] }]", true],
    ["static: [{ mod: a, env: b, app: c/d, hosts: [] }]", false],
    ["static: [{ mod: a, env: b, hosts: [] }]", false],
    ["file: { path: '' }", false],
    ["static: [], interval: 500ms", false],
    ["static: [], maxShrinkPercent: 101", false],
    ["static: [], envAliases: { bx: prod }", true],
    ["static: [], envAliases: { bx: 1 }", false],
  ])("judges the inventory { %s }: %j", async (inventory, good) => {
    const lines = await mistakes(document(`${GIT}\ninventory: { ${inventory} }`));
    expect(lines).toHaveLength(good ? 0 : 1);
  });

  it.each([
    ["ssh: { user: '-oX' }", false],
    ["ssh: { user: deploy, port: 2222, sudo: true, hostKeys: accept-new }", true],
    ["ssh: { secretRef: { name: ../ssh } }", false],
    ["sync: { owner: 'a:b' }", false],
    ["sync: { owner: 4294967295 }", false],
    ["sync: { owner: nginx, group: 65534 }", true],
    ["sync: { timeout: 0s }", false],
    ["sync: { concurrency: 0 }", false],
    ["layout: { common: common_files }", true],
    ["layout: { common: .. }", false],
    ["layout: { common: a/b }", false],
    ["suspend: true", true],
    ["nonsense: 1", false],
  ])("judges %s: %j", async (line, good) => {
    expect(await mistakes(document(`${GIT}\n${INVENTORY}\n${line}`))).toHaveLength(good ? 0 : 1);
  });

  it.each(["main", "release/1.2", "ops@home"])("accepts the branch %s", async (branch) => {
    expect(await mistakes(document(`git: { url: 'https://a.example/b', branch: '${branch}' }\n${INVENTORY}`))).toEqual(
      [],
    );
  });

  it.each(["-x", "a..b", "a b", "a:b", "refs/", "x.lock", ".x", "@", "a@{1}", ""])(
    "refuses the branch %j",
    async (branch) => {
      const lines = await mistakes(document(`git: { url: 'https://a.example/b', branch: '${branch}' }\n${INVENTORY}`));
      expect(lines).toHaveLength(1);
    },
  );

  it.each(["Upper", "a.b", "a/b", "..", "-a", "a".repeat(64)])("refuses the name %j", async (name) => {
    expect(await mistakes(document(`${GIT}\n${INVENTORY}`, `"${name}"`))).toHaveLength(1);
  });
});
