import { mkdir, open, readFile, rename } from "node:fs/promises";
import { dirname } from "node:path";
import type { Logger } from "pino";
import { z } from "zod";
import type { AppKey } from "../model/app.ts";
import type { Clock } from "../ports/clock.ts";
import { type HostEntry, decodeHost } from "./host-entry.ts";

const DAY = 86_400_000;
/** How long an app that nobody asks for any more is remembered, days. */
const FORGET_AFTER = 30;

const Stored = z.object({
  version: z.literal(1),
  apps: z.record(z.string(), z.object({ askedOn: z.number(), hosts: z.array(z.unknown()) })),
});

interface Remembered {
  /** Day on which the app was last asked for, days since the epoch: coarse, so that the file is not written each minute. */
  readonly askedOn: number;
  readonly hosts: readonly HostEntry[];
}

/**
 * The last good hosts of each app, in memory and in a file that outlives the process. Without the
 * configuration's defaults, so that a changed ssh.user holds for them too.
 */
export class LastGood {
  readonly #file: string | null;
  readonly #clock: Clock;
  readonly #log: Logger;
  #apps: Map<AppKey, Remembered> | null = null;
  #written = "";

  /** `file` null: memory only, where another process may have newer answers on its own disk. */
  constructor({ file, clock, log }: { file: string | null; clock: Clock; log: Logger }) {
    this.#file = file;
    this.#clock = clock;
    this.#log = log;
  }

  /** Undefined for an app that never had a good answer. */
  async hosts(app: AppKey): Promise<readonly HostEntry[] | undefined> {
    return (await this.#loaded()).get(app)?.hosts;
  }

  /**
   * Takes new good answers. What was asked for and not answered is kept, however long the CMDB is
   * silent. A file that cannot be written is logged: memory still has them.
   */
  async remember(answers: ReadonlyMap<AppKey, readonly HostEntry[]>, asked: Iterable<AppKey>): Promise<void> {
    const apps = await this.#loaded();
    const today = Math.floor(this.#clock.now() / DAY);
    for (const app of asked) {
      const known = apps.get(app);
      if (known) apps.set(app, { ...known, askedOn: today });
    }
    for (const [app, hosts] of answers) apps.set(app, { askedOn: today, hosts });
    for (const [app, { askedOn }] of apps) if (askedOn < today - FORGET_AFTER) apps.delete(app);
    if (this.#file === null) return;
    const text = JSON.stringify({ version: 1, apps: Object.fromEntries([...apps].sort(byKey)) });
    if (text === this.#written) return;
    try {
      await writeAtomically(this.#file, text);
      this.#written = text;
    } catch (error) {
      this.#log.error({ file: this.#file, err: error }, "the last good inventory cannot be written");
    }
  }

  async #loaded(): Promise<Map<AppKey, Remembered>> {
    this.#apps ??= await this.#read();
    return this.#apps;
  }

  async #read(): Promise<Map<AppKey, Remembered>> {
    if (this.#file === null) return new Map();
    try {
      const text = await readFile(this.#file, "utf8");
      const { apps } = Stored.parse(JSON.parse(text));
      this.#written = text;
      const entries = Object.entries(apps) as [AppKey, z.output<typeof Stored>["apps"][string]][];
      return new Map(entries.map(([app, { askedOn, hosts }]) => [app, { askedOn, hosts: hosts.flatMap(validHost) }]));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT")
        this.#log.error(
          { file: this.#file, err: error },
          "the last good inventory cannot be read; going on without it",
        );
      return new Map();
    }
  }
}

function validHost(raw: unknown): HostEntry[] {
  const decoded = decodeHost(raw, { strictKeys: true });
  return typeof decoded === "string" ? [] : [decoded.host];
}

function byKey([a]: [string, unknown], [b]: [string, unknown]): number {
  return a < b ? -1 : 1;
}

/** Whole or not at all, whenever the process is killed. */
async function writeAtomically(file: string, text: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const handle = await open(`${file}.new`, "w", 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(`${file}.new`, file);
}
