/**
 * Preloaded into a process (`--import`): on SIGUSR2 writes the longest time for which its event loop was held since it
 * was asked last, in milliseconds of CPU time: what else the machine does meanwhile is not in it.
 */
import { writeFileSync } from "node:fs";

const file = process.env.FSSYNC_TEST_LOOP_DELAY;
if (file) {
  let before = used();
  let longest = 0;
  const look = () => {
    const now = used();
    longest = Math.max(longest, now - before);
    before = now;
  };
  setInterval(look, 5).unref();
  process.on("SIGUSR2", () => {
    look();
    writeFileSync(file, String(longest));
    longest = 0;
  });
}

function used() {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}
