import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { LastGood } from "../../../src/inventory/last-good.ts";
import type { AppKey } from "../../../src/model/app.ts";
import { recordedLog } from "../../support/fakes.ts";
import { ManualClock } from "../../support/manual-clock.ts";

const DAY = 86_400_000;
const WEB: AppKey = "nginx/prod/web";
const API: AppKey = "nginx/prod/api";
const HOSTS = [{ address: "10.0.0.1" }];

test("an app that is asked for and never answered is kept for as long as it takes, one nobody asks for is not", async () => {
  const dir = await mkdtemp(join(tmpdir(), "fssync-last-good-"));
  onTestFinished(() => rm(dir, { recursive: true }));
  const clock = new ManualClock();
  const open = () => new LastGood({ file: join(dir, "hosts.json"), clock, log: recordedLog().log });
  const before = open();
  await before.remember(
    new Map([
      [WEB, HOSTS],
      [API, HOSTS],
    ]),
    [WEB, API],
  );
  for (let day = 0; day < 90; day += 1) {
    clock.advance(DAY);
    await before.remember(new Map(), [WEB]);
  }
  const after = open();
  expect(await after.hosts(WEB)).toEqual(HOSTS);
  expect(await after.hosts(API)).toBeUndefined();
});
