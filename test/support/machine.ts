import { createHash } from "node:crypto";

/** CPU time of `standardWork` on the machine that the limits of the tests were set on, milliseconds. */
const REFERENCE = 13;

let measured: number | undefined;

/**
 * A limit of time for work that needs the CPU, as it is on this machine: as given where it is as fast as the
 * one the limits were set on, or faster; more where it is slower, up to five times.
 */
export function here(milliseconds: number): number {
  measured ??= Math.min(...Array.from({ length: 5 }, () => cpuTimeOf(standardWork)));
  return milliseconds * Math.min(5, Math.max(1, measured / REFERENCE));
}

/** CPU time of this process that the work takes, milliseconds: what else the machine does is not in it. */
export function cpuTimeOf(work: () => unknown): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

/** CPU time of this thread, milliseconds. */
export function threadTime(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

/** From now on: returns what ends the watch and says how long this thread held its event loop at most, in milliseconds of CPU. */
export function watchTurns(): () => number {
  let longest = 0;
  let last = threadTime();
  let next = setImmediate(turn);
  function look() {
    const now = threadTime();
    longest = Math.max(longest, now - last);
    last = now;
  }
  function turn() {
    look();
    next = setImmediate(turn);
  }
  return () => {
    clearImmediate(next);
    look();
    return longest;
  };
}

/** Some of all that we do: maps, strings, JSON, hashes. */
function standardWork(): number {
  const map = new Map<string, number>();
  for (let index = 0; index < 20_000; index += 1) map.set(`10.0.${index >> 8}.${index & 255}`, index);
  const text = JSON.stringify([...map]);
  const parsed = JSON.parse(text) as [string, number][];
  const hash = createHash("sha256");
  for (let round = 0; round < 10; round += 1) hash.update(text);
  return parsed.sort(([a], [b]) => (a < b ? -1 : 1)).length + hash.digest().length;
}
