import { execFile } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { until, type FleetHost } from "../../support/fleet.ts";
import { PROOFS } from "../../support/webhook-proofs.ts";
import { World, type Controller } from "../../support/world.ts";
import { textOn } from "../on-host.ts";

const SECRET = "b7a1f0c2d9e84e6f9a3c5d7e1f2a4b6c";
const KEY = `whsec_${Buffer.alloc(32, 5).toString("base64")}`;
const FILE = "nginx/prod/web/etc/a.conf";

interface Delivery {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: object;
}

/** What the products send, by hand after their public documentation; without what proves the sender. */
function deliveries(product: string): Readonly<Record<string, Delivery>> {
  const file = join(import.meta.dirname, `webhooks/${product}.json`);
  return JSON.parse(readFileSync(file, "utf8")) as Record<string, Delivery>;
}

const GITLAB = deliveries("gitlab");
const GITHUB = deliveries("github");
const GITEA = deliveries("gitea");

/** The shell commands of docs/webhooks.md that send one, by how they prove it. */
function documented(): readonly (readonly [string, string])[] {
  const page = readFileSync(join(import.meta.dirname, "../../../docs/webhooks.md"), "utf8");
  const blocks = [...page.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, text]) => text!);
  const sending = blocks.filter((text) => text.includes("/hooks/"));
  return sending.map((text) => [
    text.includes("whsec_") ? "Standard Webhooks" : text.includes("X-Hub") ? "signed" : "token",
    text,
  ]);
}

interface Answer {
  readonly status: number;
  readonly body: { readonly result?: string; readonly why?: string; readonly detail?: string };
}

async function post(url: string, body: string, headers: Record<string, string>): Promise<Answer> {
  const answer = await fetch(url, { method: "POST", headers, body });
  return { status: answer.status, body: (await answer.json()) as Answer["body"] };
}

/** Delivers as the product would, proven by `prove`. */
function deliver(
  controller: Controller,
  sender: string,
  { headers, body }: Delivery,
  prove: (body: string) => Record<string, string>,
): Promise<Answer> {
  const text = JSON.stringify(body);
  return post(`${controller.url}/hooks/${sender}`, text, { ...headers, ...prove(text) });
}

describe("a repo that is polled once a day", () => {
  let world: World;
  let controller: Controller;
  let host: FleetHost;
  let commits = 0;

  beforeAll(async () => {
    world = await World.create({
      hosts: 2,
      kind: "ports",
      files: { [FILE]: "0\n" },
      spec: { git: { interval: "1d", webhook: { secretRef: { name: "hook" } } } },
    });
    await world.putSecret("hook", { token: `${SECRET}\n${KEY}\n` });
    host = world.fleet.hosts[0]!;
    controller = await world.start();
    await world.settled();
  });
  afterAll(() => world[Symbol.asyncDispose]());

  function fetches(): Promise<number | undefined> {
    return controller.metric('fssync_git_fetch_total{repo="files",result="success"}');
  }

  /** Commits, and waits until the hosts have it; nothing but a webhook can bring it there. */
  async function arrives(tell: () => Promise<Answer>): Promise<void> {
    const text = `${++commits}\n`;
    await world.repo.commit({ [FILE]: text });
    expect(await tell()).toMatchObject({ status: 202, body: { result: "accepted" } });
    await world.settled();
    expect(textOn(host, "etc/a.conf")).toBe(text);
  }

  test.for([
    ["GitLab's secret token", "gitlab", GITLAB["push"]!, () => PROOFS.token(SECRET)],
    ["GitLab's signing token", "gitlab", GITLAB["push"]!, (body: string) => PROOFS.standard(KEY, body)],
    ["a system hook of GitLab", "gitlab", GITLAB["systemPush"]!, () => PROOFS.token(SECRET)],
    ["GitHub", "github", GITHUB["push"]!, (body: string) => PROOFS.github(SECRET, body)],
    ["Gitea", "gitea", GITEA["push"]!, (body: string) => PROOFS.gitea(SECRET, body)],
    ["Forgejo", "gitea", GITEA["forgejoPush"]!, (body: string) => PROOFS.forgejo(SECRET, body)],
    ["Gogs", "gitea", GITEA["gogsPush"]!, (body: string) => PROOFS.gogs(SECRET, body)],
  ] as const)("gets a commit by %s", async ([, sender, delivery, prove]) => {
    await arrives(() => deliver(controller, sender, delivery, prove));
  });

  test("gets a commit by GitHub's form", async () => {
    const { headers, body } = GITHUB["push"]!;
    const form = `payload=${encodeURIComponent(JSON.stringify(body))}`;
    const all = { ...headers, "content-type": "application/x-www-form-urlencoded", ...PROOFS.github(SECRET, form) };
    await arrives(() => post(`${controller.url}/hooks/github`, form, all));
  });

  test("gets a commit by a token and nothing else", async () => {
    await arrives(() => post(`${controller.url}/hooks/generic`, "", PROOFS.bearer(SECRET)));
  });

  test.for([
    ["another branch", "gitlab", GITLAB["otherBranch"]!, "refs/heads/feature/timeouts is not the branch main"],
    ["a tag", "gitlab", GITLAB["tag"]!, "Tag Push Hook is no push"],
    ["an issue", "gitlab", GITLAB["issue"]!, "Issue Hook is no push"],
    ["a new project", "gitlab", GITLAB["projectCreated"]!, "System Hook without a ref is no push"],
    ["another branch", "github", GITHUB["otherBranch"]!, "refs/heads/feature/timeouts is not the branch main"],
    ["a tag", "github", GITHUB["tag"]!, "refs/tags/v1.4.0 is not the branch main"],
    ["a ping", "github", GITHUB["ping"]!, "ping is no push"],
    ["another branch", "gitea", GITEA["otherBranch"]!, "refs/heads/feature/timeouts is not the branch main"],
    ["a tag", "gitea", GITEA["tag"]!, "refs/tags/v1.4.0 is not the branch main"],
  ] as const)("is not looked at for %s of %s", async ([, sender, delivery, why]) => {
    const before = await fetches();
    const prove = { gitlab: PROOFS.token, github: PROOFS.github, gitea: PROOFS.gitea }[sender];
    const answer = await deliver(controller, sender, delivery, (body) => prove(SECRET, body));
    expect(answer).toMatchObject({ status: 200, body: { result: "ignored", why } });
    expect(await fetches()).toBe(before);
  });

  test("is not looked at for whoever does not know its secret, who learns nothing (fault 57)", async () => {
    await world.repo.commit({ [FILE]: `${++commits}\n` });
    const before = await fetches();
    const wrong = [
      await deliver(controller, "gitlab", GITLAB["push"]!, () => ({})),
      await deliver(controller, "gitlab", GITLAB["push"]!, () => PROOFS.token(SECRET.slice(1))),
      await deliver(controller, "gitlab", GITLAB["push"]!, (body) => PROOFS.standard(KEY, body, Date.now() - 600_000)),
      await deliver(controller, "github", GITHUB["push"]!, (body) => PROOFS.github(SECRET, `${body} `)),
      await deliver(controller, "gitea", GITEA["push"]!, (body) => PROOFS.gitea("", body)),
      await deliver(controller, "generic", GITHUB["push"]!, () => PROOFS.bearer("wrong")),
    ];
    expect(wrong.map(({ status }) => status)).toEqual(wrong.map(() => 401));
    expect(new Set(wrong.map(({ body }) => body.detail)).size).toBe(1);
    expect(await fetches()).toBe(before);
    await arrives(() => post(`${controller.url}/hooks/generic`, "", PROOFS.bearer(SECRET)));
    expect(controller.running.stderr).not.toContain(SECRET);
  });

  test("does not wait for a body that nobody has signed", async () => {
    const socket = connect(Number(new URL(controller.url).port), "127.0.0.1");
    onTestFinished(() => void socket.destroy());
    socket.write(
      "POST /hooks/gitlab HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Gitlab-Token: wrong\r\nContent-Length: 8000000\r\n\r\n",
    );
    const [answer] = (await once(socket, "data")) as [Buffer];
    expect(answer.toString()).toMatch(/^HTTP\/1\.1 401 /);
  });

  test("is looked at a few times in a storm, and has what was pushed last (fault 56)", async () => {
    const before = (await fetches())!;
    const start = Date.now();
    for (let count = 0; count < 10; count += 1) {
      await world.repo.commit({ [FILE]: `storm ${count}\n` });
      const replayed = Array.from({ length: 20 }, () =>
        deliver(controller, "github", GITHUB["push"]!, (body) => PROOFS.github(SECRET, body)),
      );
      for (const { status } of await Promise.all(replayed)) expect(status).toBe(202);
    }
    const seconds = (Date.now() - start) / 1000;
    await world.settled();
    expect(textOn(host, "etc/a.conf")).toBe("storm 9\n");
    await until(async () => (await fetches())! > before, 5000, "a look");
    // One at once, and one at the end of each second in which there was another webhook.
    expect((await fetches())! - before).toBeLessThanOrEqual(2 + Math.ceil(seconds));
  });

  test.for(documented())("is looked at for the command of docs/webhooks.md: %s", async ([, command]) => {
    const folder = await mkdtemp(join(tmpdir(), "fssync-hook-"));
    onTestFinished(() => rm(folder, { recursive: true }));
    await writeFile(join(folder, "token"), `${command.includes("whsec_") ? KEY : SECRET}\n`);
    await arrives(async () => {
      const here = command.replaceAll("https://fssync.example.com", controller.url);
      const { stdout } = await promisify(execFile)("sh", ["-euc", here], { cwd: folder });
      return { status: 202, body: JSON.parse(stdout) as Answer["body"] };
    });
  });

  test("takes another secret without a restart, and forgets the old one", async () => {
    const next = "c0ffee00c0ffee00c0ffee00c0ffee00";
    const tell = (token: string) => post(`${controller.url}/hooks/generic`, "", PROOFS.bearer(token));
    await world.putSecret("hook", { token: next });
    await until(async () => (await tell(next)).status === 202, 10_000, "the new secret to hold");
    expect((await tell(SECRET)).status).toBe(401);
    await world.putSecret("hook", { token: SECRET });
    await until(async () => (await tell(SECRET)).status === 202, 10_000, "the old secret to hold again");
  });

  test("says at once that its branch was deleted, and goes on when it is back", async () => {
    const push = () => deliver(controller, "github", GITHUB["push"]!, (body) => PROOFS.github(SECRET, body));
    // Looks that were asked for before are over with it.
    await arrives(push);
    const commit = await world.repo.commitOf("main");
    await world.repo.removeBranch();
    await deliver(controller, "github", GITHUB["deleted"]!, (body) => PROOFS.github(SECRET, body));
    await world.when(({ problems = [] }) => problems.some(({ reason }) => reason === "BranchMissing"), "BranchMissing");
    await world.repo.git(["update-ref", "refs/heads/main", commit!]);
    await arrives(push);
    await world.when(({ problems = [] }) => problems.length === 0, "the problem to be over");
  });
});

describe("a repo that is polled", () => {
  let world: World;
  let controller: Controller;

  beforeAll(async () => {
    world = await World.create({
      hosts: 1,
      kind: "ports",
      files: { [FILE]: "0\n" },
      spec: { git: { interval: "2s" } },
    });
    controller = await world.start();
    await world.settled();
  });
  afterAll(() => world[Symbol.asyncDispose]());

  test("needs no webhook: one that is lost is healed by the next poll", async () => {
    await world.repo.commit({ [FILE]: "1\n" });
    await world.settled();
  });

  test("believes none where no Secret is named", async () => {
    for (const token of ["", " ", "undefined", SECRET]) {
      expect((await post(`${controller.url}/hooks/gitlab`, "", PROOFS.token(token))).status).toBe(401);
      expect((await post(`${controller.url}/hooks/github`, "", PROOFS.github(token, ""))).status).toBe(401);
      const key = Buffer.from(token).toString("base64");
      expect((await post(`${controller.url}/hooks/generic`, "", PROOFS.standard(key, ""))).status).toBe(401);
    }
  });
});
