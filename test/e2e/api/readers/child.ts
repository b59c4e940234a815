import { Agent, get, request } from "node:http";
import { createInterface } from "node:readline";

/**
 * Many who read, each at its own connection, each once a period; and one who syncs. A process of its own, so that
 * what it costs is told apart. Commands are lines of standard input, answers are lines of standard output.
 */
const url = process.argv[2]!;

interface Command {
  readonly read?: { readonly path: string; readonly readers: number; readonly period: number };
  readonly stop?: true;
  readonly sync?: object;
}

const agent = new Agent({ keepAlive: true, maxSockets: Infinity });
const stop: (() => void)[] = [];
let waits: number[] = [];
let failures = 0;
let bytes = 0;
let before = process.cpuUsage();

for await (const line of createInterface({ input: process.stdin })) {
  const { read, sync, stop: stopping } = JSON.parse(line) as Command;
  if (read) {
    [waits, failures, bytes, before] = [[], 0, 0, process.cpuUsage()];
    for (let reader = 0; reader < read.readers; reader += 1) begin(read, (reader * read.period) / read.readers);
    say({});
  }
  if (stopping) {
    for (const end of stop.splice(0)) end();
    const { user, system } = process.cpuUsage(before);
    const sorted = waits.toSorted((a, b) => a - b);
    const at = (share: number) => sorted[Math.floor(share * (sorted.length - 1))] ?? 0;
    const cpu = (user + system) / 1000;
    say({ reads: waits.length, failures, bytes, cpu, median: at(0.5), most: at(1), last: at(0.99) });
  }
  if (sync) say(await post(sync));
}

/** A reader that does not ask again before it was answered. */
function begin({ path, period }: NonNullable<Command["read"]>, offset: number): void {
  let timer: NodeJS.Timeout | undefined;
  let next = performance.now() + offset;
  let ended = false;
  const schedule = () => {
    if (ended) return;
    timer = setTimeout(ask, Math.max(0, next - performance.now()));
    next = Math.max(next + period, performance.now());
  };
  const ask = () => {
    const asked = performance.now();
    const failed = () => {
      failures += 1;
      schedule();
    };
    get(`${url}${path}`, { agent }, (answer) => {
      answer.on("data", (part: Buffer) => (bytes += part.length));
      answer.on("error", failed);
      answer.on("end", () => {
        if (answer.statusCode !== 200) return failed();
        waits.push(performance.now() - asked);
        schedule();
      });
    }).on("error", failed);
  };
  stop.push(() => ((ended = true), clearTimeout(timer)));
  schedule();
}

function post(body: object): Promise<object> {
  return new Promise((resolve, reject) => {
    const headers = { "content-type": "application/json" };
    const sent = request(`${url}/api/v1/sync?wait=5m`, { method: "POST", headers }, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (part: string) => (text += part));
      answer.on("error", reject).on("end", () => resolve(JSON.parse(text) as object));
    });
    sent.on("error", reject).end(JSON.stringify(body));
  });
}

function say(answer: object): void {
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
