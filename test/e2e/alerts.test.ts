import { rename } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { rulesText } from "../../deploy/prometheus/rules.ts";
import { until, type FleetHost } from "../support/fleet.ts";
import { Alertmanager, Prometheus, prometheusUnavailable, WebhookReceiver } from "../support/prometheus.ts";
import { World, type Controller } from "../support/world.ts";
import { putOn, textOn } from "./on-host.ts";

const WEB = "nginx/prod/web";
const CONFIG = "etc/app/a.conf";

const unavailable = prometheusUnavailable();
if (unavailable) console.log(`alerts on a real Prometheus are skipped: ${unavailable}`);

/** The chart's rules with thresholds and times that a test can wait for; nothing else of them changes. */
async function quickRules(): Promise<string> {
  const text = await rulesText({
    alerts: {
      FssyncHostsLagging: { lagSeconds: 2 },
      FssyncHostsUnreachable: { hosts: 0 },
      FssyncGitStale: { staleSeconds: 4 },
      FssyncInventoryStale: { staleSeconds: 4 },
    },
  });
  return text.replaceAll("[5m]", "[3s]").replaceAll(/^( +for:) .*$/gm, "$1 1s");
}

describe.skipIf(unavailable !== undefined)("alerts reach an operator and are taken back", () => {
  const stack = new AsyncDisposableStack();
  let world: World;
  let controller: Controller;
  let prometheus: Prometheus;
  let receiver: WebhookReceiver;
  let hosts: FleetHost[];

  beforeAll(async () => {
    world = stack.use(
      await World.create({
        hosts: 4,
        kind: "ports",
        files: { [`${WEB}/${CONFIG}`]: "0\n", [`${WEB}/etc/app/b.conf`]: "b\n" },
        spec: { drift: { interval: "1s", action: "report" }, ssh: { connectTimeout: "1s" } },
      }),
    );
    hosts = [...world.fleet.hosts];
    receiver = stack.use(await WebhookReceiver.start());
    const alertmanager = stack.use(await Alertmanager.start({ receiver }));
    controller = await world.start();
    await world.settled();
    prometheus = stack.use(await Prometheus.start({ scrape: controller.url, rules: await quickRules(), alertmanager }));
    // Recorded series come with the second evaluation.
    await until(
      async () => (await prometheus.query('fssync:app_hosts{state="Synced"} == 4')).length === 1,
      30_000,
      "Prometheus to see four synced hosts",
    );
  }, 120_000);
  afterAll(() => stack.disposeAsync());

  test("a fleet in order is silent", async () => {
    // The rules, and the alerts after them, have been evaluated so often.
    const evaluated = 'count_over_time(fssync:app_hosts{state="Synced"}[1m]) > 5';
    await until(async () => (await prometheus.query(evaluated)).length === 1, 30_000, "six evaluations");
    expect(await prometheus.alerts()).toEqual([]);
    expect(receiver.notifications).toEqual([]);
  });

  test("a host that is taken down is unreachable, and behind once there is a commit; both are over when it is back", async () => {
    const [sick] = hosts as [FleetHost];
    await sick.down();
    const unreachable = await receiver.when("FssyncHostsUnreachable", "firing");
    expect(unreachable.labels).toMatchObject({ repo: "files", mod: "nginx", env: "prod", app: "web" });
    expect(unreachable.annotations).toMatchObject({
      summary: expect.stringContaining("1 host(s) of nginx/prod/web") as string,
    });
    expect(unreachable.annotations.runbook_url).toContain("docs/runbooks/FssyncHostsUnreachable.md");
    await world.repo.commit({ [`${WEB}/${CONFIG}`]: "1\n" });
    await receiver.when("FssyncHostsLagging", "firing");
    await sick.up();
    await receiver.when("FssyncHostsUnreachable", "resolved");
    await receiver.when("FssyncHostsLagging", "resolved");
    expect(textOn(sick, CONFIG)).toBe("1\n");
  });

  test("a file edited by hand is drift until it is healed", async () => {
    const [, edited] = hosts as [FleetHost, FleetHost];
    putOn(edited, CONFIG, "edited by hand\n");
    const drift = await receiver.when("FssyncDrift", "firing");
    expect(drift.annotations.summary).toContain("1 file(s) of nginx/prod/web changed by hand");
    const healed = await world.run("sync", WEB, "--full");
    expect(healed.stderr).not.toContain("fssync:");
    await receiver.when("FssyncDrift", "resolved");
    expect(textOn(edited, CONFIG)).toBe("1\n");
    await until(
      () =>
        controller
          .metric('fssync_drifted_files{repo="files",mod="nginx",env="prod",app="web"}')
          .then((files) => files === 0),
      10_000,
      "no drifted file to be counted",
    );
  });

  test("a Git remote that is gone is stale until it is back", async () => {
    await rename(world.repo.path, `${world.repo.path}.away`);
    const stale = await receiver.when("FssyncGitStale", "firing");
    expect(stale.labels.repo).toBe("files");
    await rename(`${world.repo.path}.away`, world.repo.path);
    await receiver.when("FssyncGitStale", "resolved");
  });

  test("a controller that is killed is down, and nothing else was told on the way", async () => {
    await controller.kill();
    const down = await receiver.when("FssyncDown", "firing");
    expect(down.labels.severity).toBe("critical");
    const told = new Set(receiver.notifications.map(({ alertname }) => alertname));
    expect([...told].toSorted()).toEqual([
      "FssyncDown",
      "FssyncDrift",
      "FssyncGitStale",
      "FssyncHostsLagging",
      "FssyncHostsUnreachable",
    ]);
  });
});
