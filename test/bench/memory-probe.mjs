/**
 * Preloaded into a process (`--import`): on SIGUSR2 writes how much memory is in use after what is garbage
 * was collected, in bytes, as JSON.
 */
import { renameSync, writeFileSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

const file = process.env.FSSYNC_TEST_MEMORY;
if (file) {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc");
  process.on("SIGUSR2", () => {
    collect();
    collect();
    const { rss, heapUsed, external } = process.memoryUsage();
    writeFileSync(`${file}.new`, JSON.stringify({ rss, heap: heapUsed + external }));
    renameSync(`${file}.new`, file);
  });
}
