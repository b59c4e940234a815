import { afterAll, beforeAll, expect, test } from "vitest";
import { systemClock } from "../../../src/clock/system-clock.ts";
import { sleep } from "../../../src/ports/clock.ts";
import { until, type FleetHost } from "../../support/fleet.ts";
import { Candidate } from "../../support/kube/candidate.ts";
import { Gate } from "../../support/kube/gate.ts";
import { Sessions } from "../../support/kube/sessions.ts";
import { KubeWorld } from "../../support/kube-world.ts";
import { describeOwnKube, startKube, type Kube } from "../../support/kube.ts";
import { putOn, textOn } from "../on-host.ts";

const WEB = "nginx/prod/web";
const ALONE = ["--no-leader-elect"];
/** A leader that cannot renew stops after ten seconds. */
const DEADLINE = 10_000;
/** Then another one may lead. */
const LEASE = 15_000;

describeOwnKube("an API server that is away", () => {
  let kube: Kube;

  beforeAll(async () => {
    kube = await startKube();
    await kube.applyCrds();
  });
  afterAll(() => kube?.[Symbol.asyncDispose]());

  async function worldOf(hosts: number, files: Record<string, string> = {}): Promise<KubeWorld> {
    const all = { [`${WEB}/etc/a.conf`]: "0\n", ...files };
    const world = await KubeWorld.create({
      kube,
      hosts,
      files: all,
      spec: { ssh: { client: "openssh", connectTimeout: "2s" } },
    });
    await world.apply();
    return world;
  }

  function start(world: KubeWorld, name: string, args: readonly string[] = []): Promise<Candidate> {
    return Candidate.start({ world, name, kubeconfig: kube.kubeconfig, args });
  }

  const commit = (world: KubeWorld, text: string) => world.world.repo.commit({ [`${WEB}/etc/a.conf`]: text });

  async function arrives(hosts: readonly FleetHost[], text: string, deadline: number): Promise<number> {
    const began = performance.now();
    const arrived = () => hosts.every((host) => textOn(host, "etc/a.conf") === text);
    await until(arrived, deadline, `${text.trim()} to arrive on ${hosts.length} hosts`);
    return Math.round(performance.now() - began);
  }

  /** One controller that needs no Lease, and two of which one leads, go through the same outages. */
  describeOwnKube("for a while", () => {
    let stack: AsyncDisposableStack;
    let alone: KubeWorld;
    let single: Candidate;
    let led: KubeWorld;
    let candidates: readonly Candidate[];

    beforeAll(async () => {
      stack = new AsyncDisposableStack();
      [alone, led] = await Promise.all([worldOf(3), worldOf(2)]);
      for (const world of [alone, led]) stack.use(world);
      single = stack.use(await start(alone, "single", ALONE));
      candidates = [stack.use(await start(led, "a")), stack.use(await start(led, "b"))];
      await Promise.all([single, ...candidates].map((one) => one.ready()));
      await Promise.all([alone.settled(), led.settled()]);
    });
    afterAll(() => stack[Symbol.asyncDispose]());

    const leaders = async () => (await Promise.all(candidates.map((one) => one.leads()))).filter(Boolean).length;

    /** What holds however the API server went away: `begin` and `end` make it go and come back. */
    async function outage(length: number, begin: () => unknown, end: () => unknown): Promise<void> {
      const [first, second, third] = [`${length} first\n`, `${length} second\n`, `${length} third\n`];
      const [up, down] = [alone.world.fleet.hosts.slice(0, 2), alone.world.fleet.hosts[2]!];
      const hosts = led.world.fleet.hosts;
      await begin();
      const began = performance.now();
      await down.down();
      await Promise.all([commit(alone, first), commit(led, first)]);
      // Who leads goes on up to the end of its term.
      await Promise.all([arrives(up, first, DEADLINE), arrives(hosts, first, DEADLINE)]);
      await until(async () => (await leaders()) === 0, DEADLINE + 5000, "the leader to stop");
      expect(performance.now() - began).toBeLessThan(LEASE);
      await Promise.all([commit(alone, second), commit(led, second)]);
      await arrives(up, second, 10_000);
      await sleep(systemClock, length - (performance.now() - began), new AbortController().signal);
      await commit(alone, third);
      await arrives(up, third, 10_000);
      for (const host of hosts) expect(textOn(host, "etc/a.conf")).toBe(first);
      expect(await leaders()).toBe(0);
      // Nobody restarts it for that.
      for (const one of [single, ...candidates]) expect((await one.get("/healthz")).status).toBe(200);

      await end();
      const back = performance.now();
      const [converged] = await Promise.all([arrives(hosts, second, 20_000), recorded(up, down)]);
      expect(await leaders()).toBe(1);
      await led.settled();
      process.stdout.write(
        `away for ${Math.round((back - began) / 1000)} s; back, the led hosts had the newest commit after ${converged} ms\n`,
      );
      await down.up();
      // After so long its turn may be a minute away: whoever cannot wait asks for it.
      await alone.request("confighost", alone.hostName(down), `up-again-${length}`);
      await alone.settled();
      expect(textOn(down, "etc/a.conf")).toBe(third);
    }

    /** Records say what happened meanwhile, and nothing that did not. */
    async function recorded(up: readonly FleetHost[], down: FleetHost): Promise<void> {
      const head = await alone.world.repo.commitOf("main");
      const before = (await alone.host(down))?.status?.lastAppliedRevision;
      await alone.when(async () => {
        const found = await Promise.all(up.map((host) => alone.host(host)));
        const apps = await alone.app();
        // The app's numbers and the hosts' records are written one after the other.
        return (
          (await alone.host(down))?.status?.state === "Unreachable" &&
          found.every(
            (host) => host?.status?.state === "Synced" && host.status.lastAppliedRevision?.endsWith(head!) === true,
          ) &&
          apps?.status?.hosts?.synced === 2 &&
          apps.status.hosts.unreachable === 1
        );
      }, "the records of the outage");
      const { status } = (await alone.host(down))!;
      expect(status?.lastAppliedRevision).toBe(before);
      expect(status?.lastAppliedRevision?.endsWith(head!)).toBe(false);
    }

    test("killed for a minute", { timeout: 150_000 }, () =>
      outage(
        60_000,
        () => kube.stopApiServer(),
        () => kube.startApiServer(),
      ),
    );

    test("taking requests and answering none", { timeout: 90_000 }, () =>
      outage(
        20_000,
        () => kube.pauseApiServer(),
        () => kube.resumeApiServer(),
      ),
    );
  });

  test("a watch that comes back after a compaction misses no annotation", { timeout: 60_000 }, async () => {
    await using world = await worldOf(1);
    await using gate = await Gate.open(kube.url);
    const kubeconfig = gate.kubeconfig(kube.kubeconfig);
    await using controller = await Candidate.start({ world, name: "cut", kubeconfig, args: ALONE });
    await controller.ready();
    await world.settled();
    const [host] = world.world.fleet.hosts as [FleetHost];
    gate.shut();
    putOn(host, "etc/a.conf", "by hand\n");
    await world.request("configapp", world.appName(), "while-cut");
    // More has happened since, of which the API server knows nothing any more.
    await world.request("confighost", world.hostName(host), "too");
    await kube.compact();
    await kube.stopApiServer();
    await kube.startApiServer();
    gate.reopen();
    await until(() => textOn(host, "etc/a.conf") === "0\n", 40_000, "the forced resync");
    await world.when(
      async () => (await world.app())?.status?.lastHandledReconcileAt === "while-cut",
      "the token to be echoed",
    );
    expect(controller.said("the API server has forgotten our version; listing anew")).toBe(true);
  });

  test(
    "killed in the middle of a sync that Git then takes back: the host has what Git has",
    { timeout: 60_000 },
    async () => {
      // The look at what is there, then two runs of rsync, as there are two modes: between them the host has half of the commit.
      const attributes = `${WEB}/etc/b.conf mode=0600\n`;
      await using world = await worldOf(1, { ".gitattributes": attributes, [`${WEB}/etc/b.conf`]: "0\n" });
      const [host] = world.world.fleet.hosts as [FleetHost];
      const sessions = await Sessions.record([host]);
      const texts = () => ["a", "b"].map((name) => textOn(host, `etc/${name}.conf`));
      await using first = await start(world, "first", ALONE);
      await world.settled();
      sessions.hold(host, 60, { after: 2 });
      const before = sessions.on(host).length;
      const both = (text: string) => ({ [`${WEB}/etc/a.conf`]: text, [`${WEB}/etc/b.conf`]: text });
      await world.world.repo.commit(both("1\n"));
      await until(() => sessions.on(host).length === before + 3, 20_000, "the second half to begin");
      expect(new Set(texts())).toEqual(new Set(["0\n", "1\n"]));
      first.signal("SIGKILL");
      await first.running.ended;
      sessions.hold(host, 0);
      await world.world.repo.commit(both("0\n"));
      await using _second = await start(world, "second", ALONE);
      await until(() => texts().every((text) => text === "0\n"), 20_000, "the host to have what Git has");
      await world.settled();
      expect(texts()).toEqual(["0\n", "0\n"]);
    },
  );
});
