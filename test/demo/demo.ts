/**
 * fssync for real on this machine: a Git repo, an HTTP CMDB, eight sshd hosts and the controller.
 * Every claim is checked by reading the files on the hosts. `--keep` leaves it running until Ctrl-C.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { World, type Controller } from "../support/world.ts";
import { HOSTS, INITIAL } from "./files.ts";
import { Screen } from "./screen.ts";
import { Story } from "./story.ts";

const screen = new Screen(process.stdout);
const interrupted = new AbortController();
const interrupt = () => interrupted.abort();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, interrupt);
// A terminal that is closed takes no more text.
for (const stream of [process.stdout, process.stderr]) stream.on("error", interrupt);

// One temporary folder for everything, with a short name: sockets lie in it. It goes away however this ends.
const folder = mkdtempSync(join(tmpdir(), "demo-"));
process.env["TMPDIR"] = folder;
process.on("exit", () => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }));

const exitCode = await demo({ keep: process.argv.includes("--keep"), signal: interrupted.signal });
// Whatever an interrupted step still waits for is gone.
process.exit(exitCode);

async function demo({ keep, signal }: { keep: boolean; signal: AbortSignal }): Promise<number> {
  const start = performance.now();
  screen.title("fssync: a Git repo, an HTTP CMDB and 8 sshd hosts on this machine; nothing leaves it");
  const hosts = HOSTS.web + HOSTS.cache + HOSTS.new;
  let controller: Controller | undefined;
  await using stack = new AsyncDisposableStack();
  try {
    const world = stack.use(await World.create({ hosts, kind: "ports", files: INITIAL }));
    stack.defer(() => stop(controller));
    const story = await Story.begin({ world, screen, signal });
    await story.converge(async () => (controller = await world.start()));
    await story.pushCommit();
    await story.addHost();
    await story.outage();
    await story.status();
    screen.summary(`All of it happened, in ${((performance.now() - start) / 1000).toFixed(1)} s.`, story.measured);
    if (keep) await story.keep();
    return 0;
  } catch (error) {
    // Ctrl-C ends child processes too, and their end may be noticed first.
    await wait(100);
    if (signal.aborted) {
      screen.line("stopped");
      return 130;
    }
    screen.failure(error, controller?.log.slice(-15) ?? []);
    return 1;
  }
}

/** SIGTERM, and a second one for what does not end soon; SIGKILL would leave the connections behind. */
async function stop(controller: Controller | undefined): Promise<void> {
  if (!controller) return;
  const { child, ended } = controller.running;
  child.kill("SIGTERM");
  const impatience = setTimeout(() => child.kill("SIGTERM"), 3000);
  const end = setTimeout(() => child.kill("SIGKILL"), 10_000);
  await ended;
  clearTimeout(impatience);
  clearTimeout(end);
}
