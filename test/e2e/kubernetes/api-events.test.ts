import { afterAll, beforeAll, expect, test } from "vitest";
import { EventStream } from "../../support/event-stream.ts";
import { KubeWorld } from "../../support/kube-world.ts";
import { describeKube, startKube, type Kube } from "../../support/kube.ts";
import type { Controller } from "../../support/world.ts";
import { events } from "./seen.ts";

interface Event {
  readonly reason: string;
  readonly app?: string;
  readonly host?: string;
  readonly message: string;
}

describeKube("recent events beside the Events of Kubernetes", () => {
  let kube: Kube;
  let world: KubeWorld;
  let controller: Controller;

  beforeAll(async () => {
    kube = await startKube();
    await kube.applyCrds();
    world = await KubeWorld.create({ kube, hosts: 2, files: { "nginx/prod/web/etc/a.conf": "0\n" } });
    await world.apply();
    controller = await world.start("a");
    await world.settled();
  });
  afterAll(async () => {
    await world?.[Symbol.asyncDispose]();
    await kube?.[Symbol.asyncDispose]();
  });

  test("tell the same: what the controller, the publisher and forced resyncs have to say", async () => {
    using stream = await EventStream.open<Event>(`${controller.url}/api/v1/events?watch=true`);
    const told = (reason: string) => stream.events.find(({ data }) => data.reason === reason)?.data;
    await world.request("ConfigRepo", "files", "again");
    const [down] = world.world.fleet.hosts;
    await stream.until(() => told("ResyncRequested") !== undefined, "the resync");
    await down!.down();
    await world.world.repo.commit({ "nginx/prod/web/etc/a.conf": "1\n" });
    await stream.until(() => told("SyncFailed") !== undefined, "the failure");

    expect(told("SyncSucceeded")).toMatchObject({ app: "nginx/prod/web" });
    expect(told("SyncSucceeded")!.message).toMatch(/ is on all 2 hosts$/);
    expect(told("SyncFailed")).toMatchObject({ app: "nginx/prod/web", host: `${down!.address}:${down!.port}` });
    await world.when(async () => (await events(world, "SyncFailed")).length > 0, "the Event of the failure");
    const [failed] = await events(world, "SyncFailed");
    expect(failed!.involvedObject).toMatchObject({ kind: "ConfigHost", name: world.hostName(down!) });
    expect((await events(world, "SyncSucceeded")).map(({ message }) => message)).toContain(
      told("SyncSucceeded")!.message,
    );
    await down!.up();
  });
});
