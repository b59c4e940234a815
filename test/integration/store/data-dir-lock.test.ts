import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { lockDataDir } from "../../../src/store/data-dir-lock.ts";
import { newFile } from "./support.ts";

const CHILD = new URL("lock-child.ts", import.meta.url).pathname;

describe("the lock of a data dir", () => {
  let folder: string;
  let children: ChildProcess[];

  beforeEach(async () => {
    folder = dirname(await newFile());
    children = [];
  });

  afterEach(async () => {
    await Promise.all(children.map(kill));
  });

  it("refuses a second process and names the first: pid, command, start (fault 45)", async () => {
    const { child } = await start();
    await expect(lockDataDir(folder)).rejects.toMatchObject({
      reason: "DataDirInUse",
      message: expect.stringMatching(
        new RegExp(`process ${child.pid} \\(.*lock-child.*\\), started \\d{4}-\\d\\d-\\d\\dT`),
      ),
    });
  });

  it("refuses a second lock in the same process, and a child of it", async () => {
    await using _lock = await lockDataDir(folder);
    await expect(lockDataDir(folder)).rejects.toMatchObject({ reason: "DataDirInUse" });
    const { said } = await start();
    expect(said).toContain(`process ${process.pid} `);
  });

  it("is gone with SIGKILL, and the name left behind accuses nobody (fault 45)", async () => {
    const { child } = await start();
    await kill(child);
    expect(existsSync(join(folder, "controller.json"))).toBe(true);
    await using _lock = await lockDataDir(folder);
    await expect(lockDataDir(folder)).rejects.toThrow(`process ${process.pid} `);
  });

  it("can be taken again after it was given back, also twice", async () => {
    const lock = await lockDataDir(folder);
    await lock[Symbol.asyncDispose]();
    expect(existsSync(join(folder, "controller.json"))).toBe(false);
    await using _again = await lockDataDir(folder);
    await lock[Symbol.asyncDispose]();
    expect(existsSync(join(folder, "controller.json"))).toBe(true);
    await expect(lockDataDir(folder)).rejects.toMatchObject({ reason: "DataDirInUse" });
  });

  it("still refuses when the holder's name cannot be read", async () => {
    await using _lock = await lockDataDir(folder);
    await writeFile(join(folder, "controller.json"), "{");
    await expect(lockDataDir(folder)).rejects.toThrow(/another fssync/);
  });

  it("says why a folder cannot be used", async () => {
    await using _lock = await lockDataDir(folder);
    const file = join(folder, "controller.json");
    await expect(lockDataDir(join(file, "below"))).rejects.toThrow(/cannot be used/);
  });

  async function start(): Promise<{ child: ChildProcess; said: string }> {
    const child = spawn(process.execPath, [CHILD, folder], { stdio: ["ignore", "pipe", "inherit"] });
    children.push(child);
    for await (const line of createInterface({ input: child.stdout })) return { child, said: line };
    throw new Error("the child said nothing");
  }
});

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
}
