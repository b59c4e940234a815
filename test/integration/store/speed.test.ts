import { describe, expect, it } from "vitest";
import { hostRecordAt } from "./records.ts";
import { newFile, openStore } from "./support.ts";
import { here } from "../../support/machine.ts";

describe("10,000 hosts of 10 apps", () => {
  it("are stored by one save a host, and load in less than a second", async () => {
    const file = await newFile();
    await using store = await openStore(file);
    const hosts = Array.from({ length: 10_000 }, (_, index) =>
      hostRecordAt(`10.0.${index >> 8}.${index & 255}`, index),
    );
    const [storing] = await timed(() =>
      Promise.all(hosts.map((host) => store.save("files", { hosts: new Map([host]) }))),
    );
    const [loading, loaded] = await timed(() => store.load("files"));
    expect(loaded.hosts).toEqual(new Map(hosts));
    expect(loading).toBeLessThan(here(1000));
    expect(storing).toBeLessThan(here(10_000));
  });

  it("never block the process for long while they are stored", async () => {
    await using store = await openStore(await newFile());
    const hosts = Array.from({ length: 10_000 }, (_, index) => hostRecordAt(`h${index}`, index));
    let longest = 0;
    let last = performance.now();
    const beat = setInterval(() => {
      longest = Math.max(longest, performance.now() - last);
      last = performance.now();
    }, 1);
    const saves = hosts.map((host) => store.save("files", { hosts: new Map([host]) }));
    last = performance.now();
    await Promise.all(saves);
    clearInterval(beat);
    expect(longest).toBeLessThan(here(1000));
  });
});

async function timed<T>(work: () => Promise<T>): Promise<[number, T]> {
  const start = performance.now();
  const result = await work();
  return [performance.now() - start, result];
}
