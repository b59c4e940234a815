import { once } from "node:events";
import { connect } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { publicServer } from "../../../../src/http/server.ts";
import type { SiteDesk } from "../../../../src/http/site.ts";
import { Metrics } from "../../../../src/metrics/metrics.ts";
import { FssyncError } from "../../../../src/model/errors.ts";
import { Controller } from "../../../../src/reconcile/controller.ts";
import type { RepoControllerOptions } from "../../../../src/reconcile/repo-controller.ts";
import { SecretEmpty } from "../../../../src/ports/secrets.ts";
import { quiet, recordedLog } from "../../../support/fakes.ts";
import { answerIn, received } from "../../../support/raw-http.ts";
import { until } from "../../../support/fleet.ts";
import { PROOFS } from "../../../support/webhook-proofs.ts";
import { Rig } from "../../reconcile/rig.ts";

const SECRET = "a-secret-of-the-hook";
const PUSH = JSON.stringify({ ref: "refs/heads/main" });
const DAY = 86_400_000;

/** What the Secret of git.webhook says; a test may change it. */
type Keys = Record<string, string> | Error;

type Server = Awaited<ReturnType<typeof publicServer>>;

class Hooked implements AsyncDisposable {
  readonly rig: Rig;
  readonly log = recordedLog();
  keys: Keys;
  reads = 0;
  controller!: Controller;
  #server!: Server;
  #url: Promise<string> | undefined;

  private constructor(keys: Keys, options: Partial<RepoControllerOptions>) {
    this.keys = keys;
    const secret = async () => {
      this.reads += 1;
      if (this.keys instanceof Error) throw this.keys;
      return new Map(Object.entries(this.keys));
    };
    this.rig = new Rig({ gitInterval: DAY, hook: { branch: "main", secretName: "hook", secret }, ...options });
  }

  /** One repo on fakes, whose branch is polled once a day. */
  static async start(keys: Keys = { token: SECRET }, options: Partial<RepoControllerOptions> = {}): Promise<Hooked> {
    const hooked = new Hooked(keys, options);
    await hooked.#start();
    return hooked;
  }

  async #start(): Promise<void> {
    const { rig, log } = this;
    rig.source.push({ "nginx/prod/web": { "etc/a.conf": "a" } });
    await rig.start();
    const controller = (this.controller = new Controller({ repos: [rig.controller], clock: rig.clock }));
    const metrics = new Metrics({ clock: rig.clock, version: "0" });
    const site = {
      version: "0",
      metrics: () => metrics.expose(),
      telemetry: metrics.http,
      notReady: () => null,
      desk: () => ({ controller }) as unknown as SiteDesk,
    };
    this.#server = await publicServer({ site, access: null, metricsElsewhere: true, clock: rig.clock, log: log.log });
  }

  /** How often Git was asked because of webhooks. */
  get looks(): number {
    return this.rig.source.polls - 1;
  }

  async post(path: string, headers: Record<string, string> = {}, body: string | Buffer = PUSH, from = "127.0.0.1") {
    const answer = await this.#server.inject({
      method: "POST",
      remoteAddress: from,
      url: `/hooks/${path}`,
      headers: { host: "127.0.0.1", "content-type": "application/json", ...headers },
      payload: body,
    });
    await quiet();
    return answer;
  }

  /** Somebody who signs a webhook wrongly and does not come to its end: what they are told. */
  async begin(from: string): Promise<{ readonly answer: Promise<string> }> {
    this.#url ??= this.#server.listen({ host: "127.0.0.1", port: 0 });
    const port = Number(new URL(await this.#url).port);
    const socket = connect({ port, host: "127.0.0.1", localAddress: from });
    socket.on("error", () => {});
    const proof = PROOFS.github("wrong", PUSH)["x-hub-signature-256"];
    const head = `POST /hooks/github HTTP/1.1\r\nhost: here\r\nx-hub-signature-256: ${proof}\r\n`;
    socket.write(`${head}content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n`);
    await once(socket, "connect");
    return { answer: received(socket) };
  }

  /** A push of somebody who knows the secret. */
  push(body = PUSH) {
    return this.post("gitlab", PROOFS.token(SECRET), body);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.close();
    await this.rig[Symbol.asyncDispose]();
  }
}

let hooked: Hooked;
afterEach(() => hooked[Symbol.asyncDispose]());

describe("whose secret is known", () => {
  test("is looked after at once, and the log says who asked from where", async () => {
    hooked = await Hooked.start();
    const answer = await hooked.push();
    expect(answer.statusCode).toBe(202);
    expect(answer.json()).toEqual({ result: "accepted", repos: [{ repo: "repo", result: "accepted" }] });
    expect(hooked.looks).toBe(1);
    expect(hooked.rig.telemetry.webhooks).toEqual(["accepted"]);
    const call = hooked.log.lines.find(({ event }) => event === "ApiCall");
    expect(call).toMatchObject({ who: "webhook of gitlab", what: "webhook", from: "127.0.0.1", repo: "repo" });
    expect(call).toHaveProperty("reqId");
    expect(JSON.stringify(hooked.log.lines)).not.toContain(SECRET);
  });

  test("and who means another branch, or no push, is told why nothing is done", async () => {
    hooked = await Hooked.start();
    const other = await hooked.push(JSON.stringify({ ref: "refs/heads/other" }));
    expect(other.statusCode).toBe(200);
    const why = "refs/heads/other is not the branch main";
    expect(other.json()).toEqual({ result: "ignored", why, repos: [{ repo: "repo", result: "ignored", why }] });
    const ping = await hooked.post("github", { ...PROOFS.github(SECRET, PUSH), "x-github-event": "ping" });
    expect(ping.json()).toMatchObject({ result: "ignored", why: "ping is no push" });
    expect(hooked.looks).toBe(0);
    expect(hooked.rig.telemetry.webhooks).toEqual(["ignored", "ignored"]);
    expect(hooked.log.lines.filter(({ event }) => event === "ApiCall")).toEqual([]);
  });

  test("is told that the repo is suspended", async () => {
    hooked = await Hooked.start();
    hooked.rig.controller.suspend({ repo: true, apps: new Set(), hosts: new Set() });
    expect((await hooked.push()).json()).toMatchObject({ result: "ignored", why: "the repo is suspended" });
    expect(hooked.looks).toBe(0);
  });

  test("learns that what was said makes no sense, never more than 4xx", async () => {
    hooked = await Hooked.start();
    for (const body of ["{", "[]", '{"ref":1}', "[".repeat(500_000), '{"__proto__":{"ref":1},"ref":{}}', "\u0000"])
      expect((await hooked.push(body)).statusCode, body.slice(0, 20)).toBe(400);
    const text = await hooked.post("gitlab", { ...PROOFS.token(SECRET), "content-type": "text/html" });
    expect(text.statusCode).toBe(415);
    expect(text.headers["content-type"]).toContain("application/problem+json");
    expect(hooked.looks).toBe(0);
  });

  test("GitHub's form is signed as it is sent", async () => {
    hooked = await Hooked.start();
    const form = `payload=${encodeURIComponent(PUSH)}`;
    const type = { "content-type": "application/x-www-form-urlencoded", "x-github-event": "push" };
    expect((await hooked.post("github", { ...type, ...PROOFS.github(SECRET, form) }, form)).statusCode).toBe(202);
    expect((await hooked.post("github", { ...type, ...PROOFS.github(SECRET, PUSH) }, form)).statusCode).toBe(401);
  });

  test("sends 5 MiB, and not 9", async () => {
    hooked = await Hooked.start();
    const body = (mebibytes: number) =>
      JSON.stringify({ ref: "refs/heads/main", x: "x".repeat(mebibytes * 1024 * 1024) });
    const large = body(5);
    expect((await hooked.post("github", PROOFS.github(SECRET, large), large)).statusCode).toBe(202);
    const huge = body(9);
    expect((await hooked.post("github", PROOFS.github(SECRET, huge), huge)).statusCode).toBe(413);
  });
});

describe("nobody else", () => {
  test("learns anything, whatever is wrong", async () => {
    hooked = await Hooked.start();
    const standard = PROOFS.standard(SECRET, PUSH, hooked.rig.clock.now());
    const tries: [string, Record<string, string>, string][] = [
      ["gitlab", {}, PUSH],
      ["gitlab", PROOFS.token("wrong"), PUSH],
      ["gitlab", PROOFS.token(""), PUSH],
      ["gitlab", standard, PUSH],
      ["github", PROOFS.github("wrong", PUSH), PUSH],
      ["github", PROOFS.github(SECRET, PUSH), `${PUSH} `],
      ["gitea", PROOFS.gitea("wrong", PUSH), PUSH],
      ["generic", PROOFS.bearer("wrong"), PUSH],
      ["github", PROOFS.github("wrong", "{"), "{"],
      ["github", { ...PROOFS.github("wrong", PUSH), "content-type": "text/html" }, PUSH],
      ["github", { ...PROOFS.github("wrong", PUSH), "x-github-event": "ping" }, PUSH],
    ];
    const answers = [];
    for (const [path, headers, body] of tries) answers.push(await hooked.post(path, headers, body));
    for (const { statusCode, headers } of answers) {
      expect(statusCode).toBe(401);
      expect(headers["www-authenticate"]).toBe('Webhook realm="fssync"');
    }
    const told = answers.map((answer) => ({ ...answer.json<Record<string, unknown>>(), instance: "" }));
    expect(new Set(told.map((one) => JSON.stringify(one))).size).toBe(1);
    expect(hooked.looks).toBe(0);
    expect(hooked.rig.telemetry.webhooks).toEqual([]);
    expect(JSON.stringify(hooked.log.lines)).not.toContain("wrong");
    const refused = hooked.log.lines.filter(({ event }) => event === "LoginFailed");
    expect(refused, "once a minute").toEqual([expect.objectContaining({ webhook: "gitlab", from: "127.0.0.1" })]);
  });

  test.for([
    ["a Secret without the key", { password: SECRET }],
    ["an empty key", { token: "" }],
    ["blank lines", { token: " \n\t\n\r\n" }],
    ["a short one", { token: "hunter2" }],
    ["comments", { token: `#${SECRET}` }],
    ["no such Secret", new FssyncError("SecretInvalid", "there is no Secret hook")],
  ] as const)("is believed with %s", async ([, keys]) => {
    hooked = await Hooked.start(keys);
    for (const proof of [SECRET, `#${SECRET}`, "hunter2", "", " "]) {
      expect((await hooked.post("gitlab", PROOFS.token(proof))).statusCode).toBe(401);
      expect((await hooked.post("github", PROOFS.github(proof, PUSH))).statusCode).toBe(401);
    }
    expect(hooked.looks).toBe(0);
    const said = hooked.rig.log.lines.filter(({ msg }) => msg === "webhooks cannot be verified");
    expect(said, "once").toHaveLength(1);
  });

  test("is believed where no Secret is named", async () => {
    hooked = await Hooked.start({}, { hook: { branch: "main" } });
    expect((await hooked.push()).statusCode).toBe(401);
    expect((await hooked.post("gitlab", PROOFS.token(""))).statusCode).toBe(401);
  });
});

describe("the Secret", () => {
  test("may hold several tokens, and a change of it holds within a second", async () => {
    hooked = await Hooked.start({ token: "the-old-one-of-all\r\n  the-new-one-of-all\n" });
    const tells = async (token: string) => (await hooked.post("gitlab", PROOFS.token(token))).statusCode;
    expect([await tells("the-old-one-of-all"), await tells("the-new-one-of-all")]).toEqual([202, 202]);
    hooked.keys = { token: "the-new-one-of-all" };
    await hooked.rig.pass(1000);
    expect([await tells("the-old-one-of-all"), await tells("the-new-one-of-all")]).toEqual([401, 202]);
  });

  test("that was emptied lets nobody in at once; a wrong line in it is named, and the others hold", async () => {
    hooked = await Hooked.start();
    expect((await hooked.push()).statusCode).toBe(202);
    hooked.keys = new SecretEmpty("Secret hook holds no files");
    await hooked.rig.pass(1000);
    expect((await hooked.push()).statusCode).toBe(401);
    hooked.keys = { token: `${SECRET}\nhunter2` };
    await hooked.rig.pass(1000);
    expect((await hooked.push()).statusCode).toBe(202);
    expect(hooked.rig.log.lines).toContainEqual(
      expect.objectContaining({
        level: 40,
        msg: "some webhooks cannot be verified",
        message: "Secret hook, key token, line 2: the secret has 7 characters; 16 are the least",
      }),
    );
  });

  test("is read once a second at most", async () => {
    hooked = await Hooked.start();
    for (let count = 0; count < 20; count += 1) await hooked.post("gitlab", PROOFS.token("wrong"));
    expect(hooked.reads).toBe(1);
    await hooked.rig.pass(1000);
    await Promise.all([hooked.push(), hooked.push(), hooked.push()]);
    expect(hooked.reads).toBe(2);
  });

  test("may be away for five minutes", async () => {
    hooked = await Hooked.start();
    await hooked.push();
    hooked.keys = new FssyncError("SecretInvalid", "the folder is missing");
    await hooked.rig.pass(299_000);
    expect((await hooked.push()).statusCode).toBe(202);
    await hooked.rig.pass(2000);
    expect((await hooked.push()).statusCode).toBe(401);
    hooked.keys = { token: SECRET };
    await hooked.rig.pass(1000);
    expect((await hooked.push()).statusCode).toBe(202);
    const said = hooked.rig.log.lines.map(({ msg }) => msg);
    expect(said.filter((msg) => msg === "webhooks can be verified again")).toHaveLength(1);
  });
});

describe("a storm", () => {
  test("is one look at once and one a second later (fault 56)", async () => {
    hooked = await Hooked.start();
    for (let count = 0; count < 100; count += 1) await hooked.push();
    expect(hooked.looks).toBe(1);
    await hooked.rig.pass(999);
    expect(hooked.looks).toBe(1);
    await hooked.rig.pass(1);
    expect(hooked.looks).toBe(2);
    await hooked.rig.pass(60_000, 1000);
    expect(hooked.looks).toBe(2);
    expect(hooked.rig.telemetry.webhooks).toHaveLength(100);
  });

  test("a replay of what was signed is no more than that; after five minutes it is nothing", async () => {
    const key = `whsec_${Buffer.alloc(32, 9).toString("base64")}`;
    hooked = await Hooked.start({ token: key });
    const recorded = PROOFS.standard(key, PUSH, hooked.rig.clock.now());
    for (let count = 0; count < 10; count += 1) expect((await hooked.post("gitlab", recorded)).statusCode).toBe(202);
    await hooked.rig.pass(301_000, 1000);
    expect(hooked.looks).toBe(2);
    expect((await hooked.post("gitlab", recorded)).statusCode).toBe(401);
    expect(hooked.looks).toBe(2);
  });

  test("while Git does not answer asks it once more in a pause, not for each webhook", async () => {
    hooked = await Hooked.start();
    const { source } = hooked.rig;
    source.error = new FssyncError("FetchFailed", "it is down");
    for (let count = 0; count < 60; count += 1) {
      await hooked.push();
      await hooked.rig.pass(1000);
    }
    expect(hooked.looks, "the one that failed, and the one that cut its pause short").toBe(2);
  });

  test("a caller who goes on is told to wait", async () => {
    hooked = await Hooked.start();
    const answers = [];
    for (let count = 0; count < 601; count += 1) answers.push((await hooked.push()).statusCode);
    expect(answers.slice(0, 600).every((status) => status === 202)).toBe(true);
    expect(answers[600]).toBe(429);
  });
});

describe("whoever knows no secret", () => {
  const signed = PROOFS.github(SECRET, PUSH);

  test("does not use up the turns of whoever knows one", async () => {
    hooked = await Hooked.start();
    const statuses = [];
    for (let count = 0; count < 601; count += 1) statuses.push((await hooked.post("gitlab", {}, "")).statusCode);
    expect(statuses.indexOf(429)).toBe(600);
    expect((await hooked.post("github", PROOFS.github("wrong", PUSH))).statusCode).toBe(429);
    expect((await hooked.push()).statusCode).toBe(202);
    expect((await hooked.post("github", signed)).statusCode).toBe(202);
  });

  test("keeps nobody out by bodies that do not come to their end, and is cut off after five seconds", async () => {
    hooked = await Hooked.start();
    const froms = [2, 3, 4, 5, 6].flatMap((last) => [`127.0.0.${last}`, `127.0.0.${last}`]);
    const { clock } = hooked.rig;
    const { timers } = clock;
    const slow = await Promise.all(froms.map((from) => hooked.begin(from)));
    await until(async () => clock.timers === timers + slow.length, 10_000, "their bodies to be read");
    expect((await hooked.post("github", signed)).statusCode, "of another address").toBe(202);
    expect((await hooked.post("gitlab", PROOFS.token(SECRET), PUSH, "127.0.0.2")).statusCode, "a secret").toBe(202);
    const waiting = hooked.post("github", signed, PUSH, "127.0.0.2");
    await hooked.rig.pass(5000);
    for (const { answer } of slow) expect(answerIn(await answer).status).toBe(408);
    expect((await waiting).statusCode).toBe(202);
    expect((await hooked.post("github", signed, PUSH, "127.0.0.2")).statusCode).toBe(202);
  });
});

test("bodies of which nobody knows yet who sent them take 64 MiB at most", async () => {
  hooked = await Hooked.start();
  const body = Buffer.alloc(8 * 1024 * 1024, " ");
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, n) => hooked.post("github", PROOFS.github("wrong", PUSH), body, `10.0.0.${n}`)),
  );
  const statuses = answers.map(({ statusCode }) => statusCode);
  expect(statuses.filter((status) => status === 503).length).toBeGreaterThan(0);
  expect(statuses.filter((status) => status === 401).length).toBeGreaterThanOrEqual(8);
  expect((await hooked.push()).statusCode, "what was taken is given back").toBe(202);
});

test("while a repo is being started, a secret that nobody has may be its own: 503 and not 401", async () => {
  hooked = await Hooked.start();
  hooked.controller.await("files");
  const answer = await hooked.post("gitlab", PROOFS.token("a-secret-of-files"));
  expect([answer.statusCode, answer.headers["retry-after"]]).toEqual([503, "5"]);
  expect((await hooked.push()).statusCode).toBe(202);
  hooked.controller.forgo("files");
  expect((await hooked.post("gitlab", PROOFS.token("a-secret-of-files"))).statusCode).toBe(401);
});
