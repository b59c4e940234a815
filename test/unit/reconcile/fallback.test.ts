import { expect, onTestFinished, test } from "vitest";
import type { AppKey } from "../../../src/model/app.ts";
import { FssyncError } from "../../../src/model/errors.ts";
import { quiet } from "../../support/fakes.ts";
import { makeHost } from "../../support/factories.ts";
import { Rig } from "./rig.ts";

const WEB: AppKey = "nginx/prod/web";
const API: AppKey = "nginx/prod/api";
const OLD = "rsync 3.0.9 cannot read the batch";
const old = makeHost("old");

/** Two apps on a host that gets plain rsync, and one on a host that does not. */
async function setUp() {
  const rig = new Rig();
  onTestFinished(() => rig[Symbol.asyncDispose]());
  rig.transport.fallbacks.set(old.key, OLD);
  rig.source.push({ [WEB]: { a: "1" }, [API]: { b: "1" } });
  rig.inventory.set(WEB, [old, makeHost("new")]);
  rig.inventory.set(API, [old]);
  await rig.start();
  const stored = async () => (await rig.store.load("repo")).hosts.get(old.key)?.fallback;
  const known = () => rig.controller.fleet.hosts.get(old.key)?.fallback;
  const counted = () => rig.telemetry.fleet!.fallbackHosts;
  return { rig, stored, known, counted };
}

test("why a host got plain rsync is on record with what was synced, without a write of its own", async () => {
  const { rig, stored, known } = await setUp();
  expect([known(), await stored()]).toEqual([OLD, OLD]);
  expect((await rig.store.load("repo")).hosts.get("new:22")).not.toHaveProperty("fallback");
  const writes = async () => {
    const before = rig.store.saves;
    rig.source.push({ [WEB]: { a: String(before) }, [API]: { b: "1" } });
    await rig.pollGit();
    return rig.store.saves - before;
  };
  const same = await writes();
  rig.transport.fallbacks.set(old.key, "edited on the host");
  expect(await writes()).toBe(same);
  expect([known(), await stored()]).toEqual(["edited on the host", "edited on the host"]);
});

test("it outlives a restart, and goes with the first sync that needed no plain rsync", async () => {
  const { rig, stored, known, counted } = await setUp();
  await rig.restart();
  expect([known(), counted()]).toEqual([OLD, 1]);
  rig.transport.fallbacks.clear();
  rig.source.push({ [WEB]: { a: "2" }, [API]: { b: "1" } });
  await rig.pollGit();
  expect([known(), await stored()]).toEqual([undefined, undefined]);
  expect(counted()).toBe(0);
});

test("hosts with one are counted once, whatever they have", async () => {
  const { rig, counted } = await setUp();
  expect(counted()).toBe(1);
  rig.transport.fallbacks.set("new:22", "sudo does not allow sh");
  rig.source.push({ [WEB]: { a: "2" }, [API]: { b: "2" } });
  await rig.pollGit();
  expect(counted()).toBe(2);
});

test("an attempt that did not reach the host tells nothing of it, one that failed with plain rsync does", async () => {
  const { rig, stored } = await setUp();
  rig.transport.fallbacks.clear();
  rig.transport.refuses = (host) => (host === old.key ? new FssyncError("ConnectTimeout", "no answer") : null);
  rig.source.push({ [WEB]: { a: "2" }, [API]: { b: "1" } });
  await rig.pollGit();
  expect(await stored()).toBe(OLD);
  rig.transport.fallbacks.set(old.key, "edited on the host");
  rig.source.push({ [WEB]: { a: "3" }, [API]: { b: "1" } });
  await rig.pass(60_000, 5000);
  expect(await stored()).toBe("edited on the host");
});

test("a write that the store refuses leaves it as it was in memory too", async () => {
  const { rig, stored, known, counted } = await setUp();
  rig.transport.fallbacks.clear();
  rig.transport.onApply = () => (rig.store.nextSaveError = new Error("no room"));
  rig.source.push({ [WEB]: { a: "2" }, [API]: { b: "1" } });
  await rig.pollGit();
  expect([known(), await stored()]).toEqual([OLD, OLD]);
  expect(counted()).toBe(1);
});

test("it stays while the host has another app, and goes with the last one", async () => {
  const { rig, stored, known, counted } = await setUp();
  rig.inventory.set(API, []);
  await rig.pass(60_000);
  expect([await stored(), counted()]).toEqual([OLD, 1]);
  rig.inventory.set(WEB, [makeHost("new")]);
  await rig.pass(60_000);
  expect(counted()).toBe(0);
  expect((await rig.store.load("repo")).hosts.has(old.key)).toBe(false);
  rig.transport.fallbacks.clear();
  rig.inventory.set(WEB, [old, makeHost("new")]);
  await rig.pass(60_000);
  expect(known()).toBeUndefined();
});

test("what is reported of the host says it", async () => {
  const { rig } = await setUp();
  const reported = async () => {
    const upToDate = rig.controller.reports.upToDate();
    await quiet();
    rig.clock.advance(1000);
    await upToDate;
    return rig.controller.reports.hosts.map(({ item: { address, fallback } }) => [address, fallback]);
  };
  expect(await reported()).toEqual([
    ["new", undefined],
    ["old", OLD],
  ]);
  rig.transport.fallbacks.set(old.key, "edited on the host");
  rig.source.push({ [WEB]: { a: "2" }, [API]: { b: "1" } });
  await rig.pollGit();
  expect((await reported())[1]).toEqual(["old", "edited on the host"]);
});
