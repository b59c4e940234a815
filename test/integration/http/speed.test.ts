import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeRecord } from "../../support/factories.ts";
import { here, threadTime, watchTurns } from "../../support/machine.ts";
import { BigFleet } from "./big-fleet.ts";

const ROUNDS = 3;

/** Asks for a path, as often at once as it is told, beside the event loop that is measured. */
const READER = `
  const { get } = require("node:http");
  const read = (url) => new Promise((resolve, reject) => get(url, (answer) => {
    let bytes = 0;
    answer.on("data", (part) => (bytes += part.length)).on("error", reject);
    answer.on("end", () => answer.statusCode === 200 ? resolve(bytes) : reject(new Error(answer.statusCode)));
  }).on("error", reject));
  process.on("message", async ({ url, times }) => {
    process.send(await Promise.all(Array.from({ length: times }, () => read(url))));
  });
`;

interface Read {
  readonly bytes: number;
  /** CPU time of our thread, milliseconds: what else the machine does is not in it. */
  readonly cpu: number;
  /** The longest time for which nothing else had its turn, CPU time too. */
  readonly blocked: number;
}

let fleet: BigFleet;
let reader: ChildProcess;

async function read(path: string, times = 1): Promise<Read> {
  const answered = once(reader, "message") as Promise<number[][]>;
  const before = threadTime();
  const longestTurn = watchTurns();
  reader.send({ url: `${fleet.url}${path}`, times });
  const [bytes] = await answered;
  return { bytes: bytes![0]!, cpu: threadTime() - before, blocked: longestTurn() };
}

/** The best of some rounds: when rubbish is collected is not what is measured. */
async function bestOf(name: string, path: string, change: () => void): Promise<Read> {
  const rounds: Read[] = [];
  for (let count = 0; count < ROUNDS; count += 1) {
    change();
    rounds.push(await read(path));
  }
  const [cpu, blocked] = (["cpu", "blocked"] as const).map((key) => Math.min(...rounds.map((round) => round[key])));
  const { bytes } = rounds[0]!;
  console.log(`${name}: ${(bytes / 1e6).toFixed(2)} MB, CPU ${cpu!.toFixed(0)} ms, blocked ${blocked!.toFixed(1)} ms`);
  return { bytes, cpu: cpu!, blocked: blocked! };
}

function oneHost(): string {
  return fleet.fleet.hosts.keys().next().value!;
}

describe.each([
  { hosts: 10_000, appsOfHost: 10, apps: 1000 },
  { hosts: 10_000, appsOfHost: 10, apps: 100 },
])("reads of $hosts hosts with $appsOfHost of $apps apps each", (size) => {
  beforeAll(async () => {
    fleet = await BigFleet.start(size);
    reader = spawn(process.execPath, ["-e", READER], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  });
  afterAll(async () => {
    if (reader.kill()) await once(reader, "exit");
    await fleet[Symbol.asyncDispose]();
  });

  test.each([
    { when: "everything moved", change: () => fleet.commit(), most: 1000 },
    { when: "every host has it", change: () => (fleet.commit(), fleet.record()), most: 1000 },
    {
      when: "one host moved",
      change: () => fleet.recordOn(oneHost(), (app) => makeRecord(app, { syncedAt: Date.now() })),
      most: 400,
    },
    { when: "nothing moved", change: () => {}, most: 200 },
  ])("the status of all, $when: in small pieces", async ({ when, change, most }) => {
    const { bytes, cpu, blocked } = await bestOf(`${size.apps} apps, status, ${when}`, "/api/v1/status", change);
    expect(bytes).toBeLessThan(32_000_000);
    expect(cpu).toBeLessThan(here(most));
    expect(blocked).toBeLessThan(here(40));
  });

  test.each([
    { path: "/api/v1/hosts", most: 100 },
    { path: "/api/v1/hosts?limit=5000", most: 200 },
    { path: "/api/v1/hosts?state=Synced&app=customer-5", most: 100 },
    { path: "/api/v1/apps?limit=5000", most: 100 },
    { path: "/api/v1/hosts/serverfiles/10.0.3.3", most: 100 },
    { path: "/api/v1/status?app=loadbalancer-5/production/customer-5", most: 100 },
    { path: "/api/v1/repos", most: 100 },
  ])("$path while a host moves", async ({ path, most }) => {
    await read(path);
    const change = () => fleet.recordOn(oneHost(), (app) => makeRecord(app, { syncedAt: Date.now() }));
    const { cpu, blocked } = await bestOf(`${size.apps} apps, ${path}`, path, change);
    expect(cpu).toBeLessThan(here(most));
    expect(blocked).toBeLessThan(here(40));
  });

  test("500 at once are answered with one text", async () => {
    fleet.recordOn(oneHost(), (app) => makeRecord(app, { syncedAt: Date.now() }));
    // Nobody watches the turns: a loop that never rests would leave reads their share of a busy one.
    const answered = once(reader, "message");
    const before = threadTime();
    reader.send({ url: `${fleet.url}/api/v1/hosts?limit=100`, times: 500 });
    const [bytes] = (await answered) as [number[]];
    const cpu = threadTime() - before;
    console.log(`${size.apps} apps, 500 at once: CPU ${cpu.toFixed(0)} ms`);
    expect(new Set(bytes).size).toBe(1);
    expect(cpu / 500).toBeLessThan(here(2));
  });
});
