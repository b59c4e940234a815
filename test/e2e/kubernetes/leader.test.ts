import { afterAll, beforeAll, expect, test } from "vitest";
import { systemClock } from "../../../src/clock/system-clock.ts";
import { sleep } from "../../../src/ports/clock.ts";
import { until, type FleetHost } from "../../support/fleet.ts";
import { Audit } from "../../support/kube/audit.ts";
import { Candidate } from "../../support/kube/candidate.ts";
import { Gate } from "../../support/kube/gate.ts";
import { Sessions } from "../../support/kube/sessions.ts";
import { KubeWorld } from "../../support/kube-world.ts";
import { describeOwnKube, startKube, type Kube } from "../../support/kube.ts";
import { textOn } from "../on-host.ts";
import { writesWithoutTerm } from "./terms.ts";

const WEB = "nginx/prod/web";
/** Longer than any term: who is held so long is still at it when another one leads. */
const LONG = 60;
const LOST = "this instance does not lead any more";
const FOLLOWS = "another instance leads";

describeOwnKube("one leader", () => {
  const audit = new Audit();
  let kube: Kube;

  beforeAll(async () => {
    kube = await startKube({ args: audit.args });
    await kube.applyCrds();
    const everything = ["--clusterrole=cluster-admin", "--group=system:serviceaccounts"];
    await kube.kubectl(["create", "clusterrolebinding", "candidates", ...everything]);
  });
  afterAll(async () => {
    await kube?.[Symbol.asyncDispose]();
    audit[Symbol.dispose]();
  });

  /** Hosts that write down what they run, a ConfigRepo, and controllers by these names. */
  class Scene implements AsyncDisposable {
    readonly world: KubeWorld;
    readonly sessions: Sessions;
    readonly candidates = new Map<string, Candidate>();
    #commits = 0;

    private constructor(world: KubeWorld, sessions: Sessions) {
      this.world = world;
      this.sessions = sessions;
    }

    static async open(hosts: number): Promise<Scene> {
      const files = { [`${WEB}/etc/a.conf`]: "0\n" };
      const world = await KubeWorld.create({
        kube,
        hosts,
        files,
        spec: { ssh: { client: "openssh" }, sync: { timeout: "5m" } },
      });
      const sessions = await Sessions.record(world.world.fleet.hosts);
      await world.apply();
      return new Scene(world, sessions);
    }

    get hosts(): readonly FleetHost[] {
      return this.world.world.fleet.hosts;
    }

    async start(name: string, options: { kubeconfig?: string } = {}): Promise<Candidate> {
      const candidate = await Candidate.start({ world: this.world, name, ...options });
      this.candidates.set(name, candidate);
      return candidate;
    }

    async commit(): Promise<string> {
      const text = `${++this.#commits}\n`;
      await this.world.world.repo.commit({ [`${WEB}/etc/a.conf`]: text });
      return text;
    }

    /** A commit, and every host has it. */
    async commitArrives(deadline = 20_000): Promise<void> {
      const text = await this.commit();
      const arrived = () => this.hosts.every((host) => textOn(host, "etc/a.conf") === text);
      await until(arrived, deadline, `${text.trim()} to arrive on all hosts`);
    }

    /** The same, and nothing else is done on any host. */
    async onlyTheCommitArrives(): Promise<void> {
      const counts = () => this.hosts.map((host) => this.sessions.on(host).length);
      const before = counts();
      await this.commitArrives();
      await this.world.settled();
      expect(counts()).toEqual(before.map((count) => count + 1));
    }

    /** A sync of the first host begins and does not end by itself; later ones do. */
    async hang(): Promise<void> {
      const [host] = this.hosts as [FleetHost];
      const before = this.sessions.on(host).length;
      this.sessions.hold(host, LONG);
      await this.commit();
      await until(() => this.sessions.on(host).length > before, 20_000, "a sync that hangs");
      this.sessions.hold(host, 0);
    }

    /** Waits for a leader other than these. */
    async leader(deadline: number, ...others: Candidate[]): Promise<Candidate> {
      let found: Candidate | undefined;
      await until(
        async () => {
          const asked = [...this.candidates.values()].filter((one) => one.runs && !others.includes(one));
          const leading = await Promise.all(asked.map((one) => one.leads()));
          found = asked.find((_, index) => leading[index]);
          return found !== undefined;
        },
        deadline,
        "a leader",
      ).catch((error: unknown) => {
        const logs = [...this.candidates.values()].map((one) => `${one.name}:\n${one.running.stderr.slice(-4000)}`);
        throw new Error(`${String(error)}\n${logs.join("\n")}`, { cause: error });
      });
      return found!;
    }

    /** At no time two controllers on one host, nobody's status written over by one that did not lead. */
    check(): void {
      expect(this.sessions.overlaps()).toEqual([]);
      expect(writesWithoutTerm(audit.writes(this.world.namespace))).toEqual([]);
    }

    async [Symbol.asyncDispose](): Promise<void> {
      await Promise.all([...this.candidates.values()].map((one) => one[Symbol.asyncDispose]()));
      await this.world[Symbol.asyncDispose]();
    }
  }

  test(
    "one of three leads; told to end in the middle of a sync it hands over within 3 s, killed within 20 s",
    { timeout: 90_000 },
    async () => {
      await using scene = await Scene.open(2);
      for (const name of ["a", "b", "c"]) await scene.start(name);
      await Promise.all([...scene.candidates.values()].map((one) => one.ready()));
      const first = await scene.leader(20_000);
      await scene.world.settled();
      await scene.commitArrives();
      const followers = [...scene.candidates.values()].filter((one) => one !== first);
      for (const follower of followers) {
        expect(await follower.metric("fssync_leader")).toBe(0);
        expect((await follower.get("/readyz")).status).toBe(200);
        await until(() => follower.said(FOLLOWS), 5000, "the follower to say who leads");
      }
      expect(new Set(scene.sessions.all().map(({ who }) => who))).toEqual(new Set([first.name]));

      await scene.hang();
      const told = performance.now();
      const ending = first.stop();
      const second = await scene.leader(10_000, first);
      const handover = performance.now() - told;
      expect((await ending).code).toBe(0);
      await scene.commitArrives();
      expect(handover).toBeLessThan(3000);

      second.signal("SIGKILL");
      const killed = performance.now();
      const third = await scene.leader(25_000, first, second);
      const takeover = performance.now() - killed;
      await scene.commitArrives();
      expect(takeover).toBeLessThan(20_000);
      expect(third.logged("SyncFailed")).toEqual([]);
      scene.check();
      process.stdout.write(
        `SIGTERM to the next leader: ${Math.round(handover)} ms; SIGKILL: ${Math.round(takeover)} ms\n`,
      );
    },
  );

  /** A leader in the middle of a sync on the first host, and a follower. */
  async function inTheMiddle(scene: Scene, options: { kubeconfig?: string } = {}): Promise<[Candidate, Candidate]> {
    const old = await scene.start("a", options);
    await scene.leader(20_000);
    await scene.world.settled();
    const next = await scene.start("b");
    await next.ready();
    await scene.hang();
    return [old, next];
  }

  /** Waits until the other one works on the first host; what the old one had running there was gone before. */
  async function nothingIsLeftOf(scene: Scene, old: Candidate, next: Candidate): Promise<void> {
    const [host] = scene.hosts as [FleetHost];
    let left = old.transports();
    expect(left.length).toBeGreaterThan(0);
    await until(
      () => {
        const begun = scene.sessions.on(host).some(({ who }) => who === next.name);
        // Looked at after the log: what is still there now was there when the other one began.
        if (!begun) left = old.transports();
        return begun;
      },
      40_000,
      "the other one to sync the host",
    );
    expect(left).toEqual([]);
    await scene.world.settled();
  }

  test.concurrent(
    "stopped for longer than its lease it has nothing running, and writes nothing when it goes on",
    { timeout: 120_000 },
    async () => {
      await using scene = await Scene.open(2);
      const [old, next] = await inTheMiddle(scene);
      old.signal("SIGSTOP");
      await nothingIsLeftOf(scene, old, next);
      const before = audit.writes(scene.world.namespace).length;
      const lines = old.log.length;
      old.signal("SIGCONT");
      await until(() => old.said(LOST, lines) && old.said(FOLLOWS, lines), 10_000, "it to follow");
      expect(await old.metric("fssync_leader")).toBe(0);
      expect((await old.get("/readyz")).status).toBe(200);
      await scene.commitArrives();
      const later = audit.writes(scene.world.namespace).slice(before);
      expect(later.filter(({ user, code }) => user.endsWith(`:${old.name}`) && code < 400)).toEqual([]);
      // It could have: it leads again when the other one ends. Its mirror is older than what hosts have by then.
      await scene.world.settled();
      await next.stop();
      await scene.leader(10_000, next);
      await scene.onlyTheCommitArrives();
      scene.check();
    },
  );

  test.concurrent(
    "cut off from the API server alone it stops before another one begins, and follows later",
    { timeout: 120_000 },
    async () => {
      await using scene = await Scene.open(2);
      await using gate = await Gate.open(kube.url);
      const kubeconfig = gate.kubeconfig(await kube.token("a", scene.world.namespace));
      const [old, next] = await inTheMiddle(scene, { kubeconfig });
      gate.shut();
      await nothingIsLeftOf(scene, old, next);
      expect(await old.metric("fssync_leader")).toBe(0);
      expect(old.said(LOST)).toBe(true);
      gate.reopen();
      await until(() => old.said(FOLLOWS), 20_000, "it to follow");
      await scene.commitArrives();
      expect(await old.leads()).toBe(false);
      await next.stop();
      await scene.leader(10_000, next);
      await scene.commitArrives();
      scene.check();
    },
  );

  test.concurrent(
    "whoever is killed, told to end or stopped: never do two work on one host",
    { timeout: 180_000 },
    async () => {
      await using scene = await Scene.open(4);
      const { hosts, sessions } = scene;
      for (const name of ["a", "b", "c"]) await scene.start(name);
      await scene.leader(20_000);
      // The last one is nearly always in the middle of a sync.
      for (const [index, host] of hosts.entries()) sessions.hold(host, [0, 0.5, 3, 20][index]!);
      const random = seeded(20261122);
      const done = new AbortController();
      const committing = commitUntil(done.signal, scene, random);
      const goneBack = watchForOlder(done.signal, hosts);
      const changes = { SIGKILL: 0, SIGTERM: 0, SIGSTOP: 0 };
      const end = performance.now() + 60_000;
      for (let turn = 0; performance.now() < end; turn++) {
        const leader = await scene.leader(30_000);
        // A slow machine would end each before it has begun to work; two are enough.
        const works = () => sessions.all().some(({ who }) => who === leader.name);
        if (turn < 2) await until(works, 20_000, `${leader.name} to work`);
        const how = (["SIGTERM", "SIGSTOP", "SIGTERM", "SIGKILL"] as const)[
          turn < 4 ? turn : Math.floor(random() * 4)
        ]!;
        await pass(random() * 2000);
        changes[how] += 1;
        leader.signal(how);
        if (how === "SIGSTOP") {
          // Sometimes it goes on before its term is over, or just when it ends.
          await pass(6000 + random() * 12_000);
          leader.signal("SIGCONT");
        } else {
          await leader.running.ended;
          await scene.start(leader.name);
        }
      }
      done.abort();
      await committing;
      expect(await goneBack).toEqual([]);
      for (const host of hosts) sessions.hold(host, 0);
      await scene.leader(30_000);
      await scene.commitArrives(30_000);
      await scene.world.settled();
      scene.check();
      const all = sessions.all();
      const names = new Set(all.map(({ who }) => who));
      process.stdout.write(
        `${all.length} sessions of ${names.size} controllers; leaders ended by ${JSON.stringify(changes)}\n`,
      );
      expect(all.length).toBeGreaterThan(10);
      expect(names.size).toBeGreaterThan(1);
      expect(Math.min(...Object.values(changes))).toBeGreaterThan(0);
    },
  );
});

/** The same numbers every time (mulberry32): what failed once can be looked at again. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Part of what is done to them, not a wait for anything. */
function pass(milliseconds: number, signal = new AbortController().signal): Promise<void> {
  return sleep(systemClock, milliseconds, signal);
}

async function commitUntil(
  signal: AbortSignal,
  scene: { commit(): Promise<string> },
  random: () => number,
): Promise<void> {
  while (!signal.aborted) {
    await scene.commit();
    await pass(500 + random() * 1500, signal);
  }
}

/** Commits are numbered: what a host has must never become smaller, whoever begins to lead. */
async function watchForOlder(signal: AbortSignal, hosts: readonly FleetHost[]): Promise<string[]> {
  const newest = new Map<FleetHost, number>();
  const found: string[] = [];
  for (; !signal.aborted; await pass(20, signal)) {
    for (const host of hosts) {
      const now = Number(textOn(host, "etc/a.conf") ?? 0);
      const before = newest.get(host) ?? 0;
      if (now < before) found.push(`${host.port} went from ${before} back to ${now}`);
      newest.set(host, now);
    }
  }
  return found;
}
