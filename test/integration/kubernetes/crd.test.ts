import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, it } from "vitest";
import { parse } from "yaml";
import { customResourceDefinitions } from "../../../src/config/crd.ts";
import { parseConfigRepo } from "../../../src/config/parse.ts";
import { RESOURCES, type ResourceKind } from "../../../src/config/resources.ts";
import { apiError, type ApiError } from "../../../src/kubernetes/api-error.ts";
import type { KubeClient } from "../../../src/kubernetes/client.ts";
import { GROUP, VERSION, type Resource } from "../../../src/kubernetes/objects.ts";
import { describeKube, startKube, type Kube } from "../../support/kube.ts";
import { sample, seeded, type SampleOptions } from "../../support/sample.ts";

const EXAMPLE = new URL("../../../deploy/fssync.example.yaml", import.meta.url);
const KINDS = Object.keys(RESOURCES) as ResourceKind[];

const DURATIONS = ["1s", "90s", "1h", "5m30s", "1500ms", "2.5s"];
const FOLDERS = ["nginx", ".hidden", "...", "with space", "日本", "a-b_c.d"];
const ACCOUNTS = ["root", "www-data", "_apt", "1000", "0", "machine$"];
const URLS = ["http://cmdb.example.com/sd", "https://cmdb.example.com:8443/a?b=c&d=%20"];

/** What people write where the schema says text, but not any. */
const TEXTS: SampleOptions["texts"] = {
  "git.url": ["https://a.example/b.git", "git@a.example:b.git", "ssh://git@[2001:db8::1]:22/~b", "gitlab:a"],
  "git.branch": ["main", "release/1.2", "ümläut", "a@b"],
  "author.name": ["fssync", "Ünal O'Neil, Jr."],
  "author.email": ["fssync@localhost", "a b"],
  interval: DURATIONS,
  timeout: DURATIONS,
  connectTimeout: DURATIONS,
  "secretRef.name": ["git", "a.b-c", "0"],
  common: FOLDERS,
  "static.mod": FOLDERS,
  "static.env": FOLDERS,
  "static.app": FOLDERS,
  "labels.mod": ["mod", "__meta_mod"],
  "labels.env": ["env"],
  "labels.app": ["app", "Ünï"],
  "http.url": [...URLS, "http://cmdb.example.com/{mod}/{env}?app={app}"],
  "httpSD.url": URLS,
  "http.hosts": ["@", "data[].ip", "hosts[?state=='up'].{address: ip, port: port}"],
  "file.path": ["hosts.yaml", "/etc/fssync/hosts.yaml"],
  "hosts.address": ["10.0.0.1", "web-1", "::1"],
  "hosts.root": ["/", "/srv/a b"],
  "drift.ignore": ["/etc/ssl/**", "*.bak", "conf.d"],
  user: ["root", "deploy", "_x"],
  owner: ACCOUNTS,
  group: ACCOUNTS,
};

describeKube("the CRDs on an API server", () => {
  let kube: Kube;
  let client: KubeClient;
  let namespace: string;
  let count = 0;

  beforeAll(async () => {
    kube = await startKube();
    await kube.applyCrds();
    client = kube.client();
    namespace = await kube.createNamespace();
  });
  afterAll(() => kube?.[Symbol.asyncDispose]());

  function path(kind: ResourceKind, name = ""): string {
    const plural = `/apis/${GROUP}/${VERSION}/namespaces/${namespace}/${RESOURCES[kind].plural}`;
    return name === "" ? plural : `${plural}/${name}`;
  }

  async function create(kind: ResourceKind, spec: unknown): Promise<Resource> {
    const body = { apiVersion: `${GROUP}/${VERSION}`, kind, metadata: { name: `n${(count += 1)}` }, spec };
    return (await client.json(path(kind), { method: "POST", body })) as Resource;
  }

  async function refusal(spec: unknown): Promise<ApiError> {
    return create("ConfigRepo", spec).then(
      () => expect.unreachable("the API server took it"),
      (error: unknown) => apiError(error),
    );
  }

  /** The configuration that a document means. */
  function meant(spec: unknown) {
    const document = { apiVersion: `${GROUP}/${VERSION}`, kind: "ConfigRepo", metadata: { name: "a" }, spec };
    return parseConfigRepo(document, { allowFileUrls: false });
  }

  it("takes them without a word against their schemas", async () => {
    for (const definition of customResourceDefinitions().values()) {
      const found = await client.json(
        `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${definition.metadata.name}`,
      );
      const { conditions } = (found as { status: { conditions: { type: string; status: string }[] } }).status;
      expect(conditions.map(({ type, status }) => `${type}=${status}`).sort()).toEqual([
        "Established=True",
        "NamesAccepted=True",
      ]);
      // Nothing that was written was pruned from the CRD itself.
      expect(found).toMatchObject(definition);
    }
  });

  it("takes the example as it is, by kubectl apply of either kind", async () => {
    const text = readFileSync(EXAMPLE, "utf8");
    await kube.kubectl(["apply", "-n", namespace, "-f", "-"], { input: text });
    const stored = (await client.json(path("ConfigRepo", "serverfiles"))) as Resource<Record<string, object>>;
    const written = parse(text) as { spec: object };
    expect(stored.spec).toMatchObject(written.spec);
    expect(stored.spec).toMatchObject({ suspend: false, git: { timeout: "60s" }, ssh: { port: 22, sudo: false } });
    expect(meant(stored.spec)).toEqual(meant(written.spec));
    await kube.kubectl(["apply", "-n", namespace, "--server-side", "--force-conflicts", "-f", "-"], { input: text });
  });

  it("fills in every default of the schema, as people write it", async () => {
    const spec = { git: { url: "https://a.example/b.git" }, inventory: { httpSD: { url: "http://a.example/sd" } } };
    const stored = await create("ConfigRepo", spec);
    expect(stored.spec).toEqual({
      git: {
        ...spec.git,
        branch: "main",
        interval: "10s",
        timeout: "60s",
        author: { name: "fssync", email: "fssync@localhost" },
      },
      layout: {},
      inventory: {
        interval: "60s",
        envAliases: {},
        maxShrinkPercent: 50,
        httpSD: { ...spec.inventory.httpSD, labels: { mod: "mod", env: "env", app: "app" } },
      },
      ssh: {
        user: "root",
        port: 22,
        hostKeys: "strict",
        client: "builtin",
        sudo: false,
        connectTimeout: "10s",
        maxConnections: 10_000,
      },
      sync: { concurrency: 64, timeout: "5m", owner: "root", group: "root", prune: true, maxDeletePercent: 20 },
      drift: { interval: "1h", action: "report", concurrency: 8, ignore: [], keep: 5 },
      suspend: false,
    });
    expect(meant(stored.spec)).toEqual(meant(spec));
    expect(meant(spec)).toHaveProperty("config");
  });

  it("loses nothing of any spec that the file may hold, and changes nothing of what it means", async () => {
    const random = seeded(3);
    const asked = Array.from({ length: 120 }, (_, index) =>
      sample(RESOURCES.ConfigRepo.spec, { random, optional: index % 3 === 0 ? 1 : 0.5, texts: TEXTS }),
    );
    for (const spec of asked) {
      expect(meant(spec)).toEqual({ config: expect.anything() });
      const stored = await create("ConfigRepo", spec);
      expect(stored.spec).toMatchObject(spec);
      expect(meant(stored.spec)).toEqual(meant(spec));
    }
  });

  it.each(KINDS)("keeps every field of the status of %s", async (kind) => {
    const random = seeded(7);
    const spec = sample(RESOURCES[kind].spec, { random, optional: 1, texts: TEXTS });
    const { metadata } = await create(kind, spec);
    const name = metadata!.name!;
    for (let round = 0; round < 12; round += 1) {
      const status = sample(RESOURCES[kind].status, { random, optional: round % 3 === 0 ? 1 : 0.5, texts: {} });
      // Of our own schema, else the test proves nothing.
      RESOURCES[kind].status.parse(status);
      const current = (await client.json(path(kind, name))) as Resource;
      const body = { ...current, status };
      const stored = (await client.json(`${path(kind, name)}/status`, { method: "PUT", body })) as Resource;
      expect(stored.status).toEqual(status);
      expect(stored.spec).toEqual(current.spec);
    }
  });

  const GIT = { url: "https://a.example/b.git" };
  const INVENTORY = { static: [] };
  const GOOD = { git: GIT, inventory: INVENTORY };

  it.each([
    ["no git", { inventory: INVENTORY }, "spec.git"],
    ["no inventory", { git: GIT }, "spec.inventory"],
    ["no Git URL", { ...GOOD, git: {} }, "spec.git.url"],
    ["an option for a Git URL", { ...GOOD, git: { url: "--upload-pack=x" } }, "spec.git.url"],
    ["a Git URL with a space", { ...GOOD, git: { url: "https://a.example/a b" } }, "spec.git.url"],
    ["a number for a URL", { ...GOOD, git: { url: 5 } }, "spec.git.url"],
    ["a branch with a dash first", { ...GOOD, git: { ...GIT, branch: "-x" } }, "spec.git.branch"],
    ["a duration without a unit", { ...GOOD, git: { ...GIT, interval: "10" } }, "spec.git.interval"],
    ["a duration in words", { ...GOOD, sync: { timeout: "5 minutes" } }, "spec.sync.timeout"],
    ["a duration as a number", { ...GOOD, ssh: { connectTimeout: 10 } }, "spec.ssh.connectTimeout"],
    ["a Secret with a slash", { ...GOOD, git: { ...GIT, secretRef: { name: "../a" } } }, "spec.git.secretRef.name"],
    ["a Secret without a name", { ...GOOD, ssh: { secretRef: {} } }, "spec.ssh.secretRef.name"],
    ["a folder above", { ...GOOD, layout: { common: ".." } }, "spec.layout.common"],
    ["no inventory of any kind", { git: GIT, inventory: { interval: "60s" } }, "spec.inventory"],
    ["two inventories", { git: GIT, inventory: { static: [], file: { path: "a" } } }, "spec.inventory"],
    ["a percentage above 100", { git: GIT, inventory: { ...INVENTORY, maxShrinkPercent: 101 } }, "maxShrinkPercent"],
    ["an alias that is no text", { git: GIT, inventory: { ...INVENTORY, envAliases: { bx: 1 } } }, "envAliases.bx"],
    ["a group without an app", { git: GIT, inventory: { static: [{ hosts: [] }] } }, "spec.inventory.static.app"],
    ["a list that is text", { git: GIT, inventory: { static: [{ app: "a", hosts: "b" }] } }, "static.hosts"],
    ["another way with host keys", { ...GOOD, ssh: { hostKeys: "off" } }, "spec.ssh.hostKeys"],
    ["port 0", { ...GOOD, ssh: { port: 0 } }, "spec.ssh.port"],
    ["a login with a dash first", { ...GOOD, ssh: { user: "-oProxyCommand" } }, "spec.ssh.user"],
    ["no concurrency", { ...GOOD, sync: { concurrency: 0 } }, "spec.sync.concurrency"],
    ["a fraction", { ...GOOD, sync: { maxDeletePercent: 1.5 } }, "spec.sync.maxDeletePercent"],
    ["an owner with a space", { ...GOOD, sync: { owner: "a b" } }, "spec.sync.owner"],
    ["a negative group", { ...GOOD, sync: { group: -1 } }, "spec.sync.group"],
    ["a list for an owner", { ...GOOD, sync: { owner: ["root"] } }, "spec.sync.owner"],
    ["a word for yes", { ...GOOD, suspend: "yes" }, "spec.suspend"],
    ["another thing to do about drift", { ...GOOD, drift: { action: "mend" } }, "spec.drift.action"],
    ["an interval without a unit", { ...GOOD, drift: { interval: "0" } }, "spec.drift.interval"],
    ["one glob instead of a list", { ...GOOD, drift: { ignore: "*.bak" } }, "spec.drift.ignore"],
    ["a glob that is empty", { ...GOOD, drift: { ignore: [""] } }, "spec.drift.ignore"],
    ["no look at a time", { ...GOOD, drift: { concurrency: 0 } }, "spec.drift.concurrency"],
    ["fewer versions than none", { ...GOOD, drift: { keep: -1 } }, "spec.drift.keep"],
  ])("refuses %s and names the path", async (_what, spec, where) => {
    expect(meant(spec)).toHaveProperty("mistakes");
    const error = await refusal(spec);
    expect(error.status).toBe(422);
    expect(error.message).toContain(where);
  });

  it.each([
    ["a Git URL of another scheme", { ...GOOD, git: { url: "git://a.example/b.git" } }, "git.url"],
    ["a password in the Git URL", { ...GOOD, git: { url: "https://u:p@a.example/b.git" } }, "git.url"],
    ["a file URL", { ...GOOD, git: { url: "file:///srv/a.git" } }, "git.url"],
    ["a branch that Git does not allow", { ...GOOD, git: { ...GIT, branch: "a..b" } }, "git.branch"],
    ["a duration out of its bounds", { ...GOOD, git: { ...GIT, interval: "1ms" } }, "git.interval"],
    ["an interval of looks out of its bounds", { ...GOOD, drift: { interval: "31d" } }, "drift.interval"],
    [
      "a placeholder that is none",
      { git: GIT, inventory: { http: { url: "http://a.example/{x}" } } },
      "inventory.http.url",
    ],
    ["a JMESPath", { git: GIT, inventory: { http: { url: "http://a.example/", hosts: "[" } } }, "inventory.http.hosts"],
    [
      "a host that is a number",
      { git: GIT, inventory: { static: [{ app: "a", hosts: [7] }] } },
      "inventory.static.0.hosts.0",
    ],
    [
      "a host's unknown key",
      { git: GIT, inventory: { static: [{ app: "a", hosts: [{ address: "a", prot: 22 }] }] } },
      "inventory.static.0.hosts.0.prot",
    ],
    ["an owner's number that is too large", { ...GOOD, sync: { owner: "4294967295" } }, "sync.owner"],
  ])("leaves %s to parseConfigRepo", async (_what, spec, where) => {
    const parsed = meant((await create("ConfigRepo", spec)).spec);
    if (!("mistakes" in parsed)) expect.unreachable("parseConfigRepo took it");
    expect(parsed.mistakes.map((mistake) => mistake.path.join("."))).toEqual([`spec.${where}`]);
  });

  it("prunes an unknown key, which kubectl refuses by name", async () => {
    const spec = { ...GOOD, sycn: { owner: "root" } };
    expect((await create("ConfigRepo", spec)).spec).not.toHaveProperty("sycn");
    const document = { apiVersion: `${GROUP}/${VERSION}`, kind: "ConfigRepo", metadata: { name: "unknown" }, spec };
    const applied = kube.kubectl(["apply", "-n", namespace, "-f", "-"], { input: JSON.stringify(document) });
    await expect(applied).rejects.toThrow(/unknown field "(spec\.)?sycn"/);
  });

  it.each([
    ["configrepo", ["A Git repo whose files fssync keeps on hosts", "spec", "-required-"]],
    ["configrepo.spec.git", ["The repo that says what hosts shall look like", "How often the remote is asked"]],
    ["configrepo.spec.git.secretRef.name", ["Name of the Secret"]],
    ["crepo.spec.inventory.static.hosts", ["web-1:2222", "{address, port, user, root}"]],
    ["configapp.status.hosts", ["The app's hosts by state", "Hosts that were not reached"]],
    ["capp.spec.suspend", ["stops all work here"]],
    ["confighost", ["One host of a ConfigRepo with all its apps", "fssync.dev/requestedAt"]],
    ["chost.status.apps", ["One app on this host", "What the host last synced"]],
    ["chost.status.apps.drift", ["What somebody else changed", "as the last look found them"]],
    ["crepo.spec.drift", ["changed on a host", "lay the file of Git over it"]],
  ])("kubectl explain %s reads like documentation", async (what, said) => {
    const text = (await kube.kubectl(["explain", what])).replaceAll(/\s+/g, " ");
    for (const words of said) expect(text).toContain(words);
    expect(text).not.toContain("<empty>");
  });

  it("kubectl get shows the columns of the design, for the category too", async () => {
    const ready = {
      type: "Ready",
      status: "False",
      reason: "Pending",
      message: "3 of 4 hosts",
      lastTransitionTime: "",
    };
    const conditions = [{ ...ready, lastTransitionTime: new Date().toISOString() }];
    const repoRef = { name: "serverfiles" };
    const wanted = [
      ["ConfigRepo", GOOD, { revision: "main@sha1:abc", apps: 2, hosts: 4, synced: 3, conditions }],
      [
        "ConfigApp",
        { repoRef, mod: "nginx", env: "prod", app: "web" },
        {
          revision: "main@sha1:abc",
          conditions,
          hosts: { total: 4, synced: 3, pending: 0, failed: 1, unreachable: 0, drifted: 0 },
        },
      ],
      [
        "ConfigHost",
        { repoRef, address: "10.0.0.11", port: 22 },
        { total: 2, synced: 1, state: "Failed", lastSyncAt: new Date(Date.now() - 60_000).toISOString(), conditions },
      ],
    ] as const;
    const lines: Record<string, string[]> = {};
    for (const [kind, spec, status] of wanted) {
      const made = await create(kind, spec);
      const name = made.metadata!.name!;
      await client.json(`${path(kind, name)}/status`, { method: "PATCH", body: { status }, mergePatch: true });
      const [head = "", row = ""] = (await kube.kubectl(["get", "-n", namespace, kind, name])).split("\n");
      lines[kind] = [head, row].map((line) => line.trim().split(/ {2,}/).slice(1, -1).join(" | "));
    }
    expect(lines).toEqual({
      ConfigRepo: [
        "REVISION | APPS | HOSTS | SYNCED | READY | STATUS",
        "main@sha1:abc | 2 | 4 | 3 | False | 3 of 4 hosts",
      ],
      ConfigApp: [
        "MOD | ENV | APP | REVISION | HOSTS | SYNCED | FAILED | READY | STATUS",
        "nginx | prod | web | main@sha1:abc | 4 | 3 | 1 | False | 3 of 4 hosts",
      ],
      ConfigHost: [
        "ADDRESS | APPS | SYNCED | STATE | LASTSYNC",
        expect.stringMatching(/^10\.0\.0\.11 \| 2 \| 1 \| Failed \| 6\ds$/),
      ],
    });
    const names = await kube.kubectl(["get", "fssync", "-n", namespace, "-o", "name"]);
    for (const kind of KINDS) expect(names).toContain(`${kind.toLowerCase()}.${GROUP}/`);
  });
});
