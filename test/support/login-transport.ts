import { createHash } from "node:crypto";
import { join } from "node:path";
import { pino } from "pino";
import type { Applied, FileFact } from "../../src/ports/transport.ts";
import { RsyncTransport, type RsyncTransportOptions } from "../../src/transport/rsync-transport.ts";
import { Snapshots, type FileSpec } from "./fleet-change.ts";
import { realClock } from "./fleet-clock.ts";
import type { LoginHost } from "./login-lab.ts";

const APP = "nginx/prod/web";
const options = { timeout: 60_000, signal: new AbortController().signal };

/** The three ways to reach a host. */
export const WAYS = [
  { way: "batches", client: "builtin", batches: true },
  { way: "plain rsync", client: "builtin", batches: false },
  { way: "OpenSSH", client: "openssh", batches: false },
] as const satisfies readonly ({ way: string } & Partial<RsyncTransportOptions>)[];

/** All that fssync does on a host, on one with a login. */
export class LoginTransport implements AsyncDisposable {
  readonly #login: LoginHost;
  readonly #transport: RsyncTransport;
  readonly #snapshots: Snapshots;

  constructor(login: LoginHost, more: Partial<RsyncTransportOptions>) {
    this.#login = login;
    this.#snapshots = new Snapshots(join(login.dir, "snapshots"));
    this.#transport = new RsyncTransport({
      dir: join(login.dir, `transport-${more.client}-${more.batches}`),
      socketDir: join(login.dir, "s"),
      secret: () => Promise.resolve(login.secret),
      hostKeys: "strict",
      sudo: false,
      client: "builtin",
      connectTimeout: 10_000,
      clock: realClock,
      log: pino({ level: "silent" }),
      ...more,
    });
  }

  /** `synced` is what these files had at the last sync. */
  async apply(files: Record<string, string | FileSpec>, synced: Record<string, string> = {}): Promise<Applied> {
    const replaces = Object.entries(synced).map(([path, text]) => ({
      path,
      checksums: [createHash("sha256").update(text).digest("hex")],
      maxSize: text.length,
    }));
    const change = this.#snapshots.change([{ ...this.#snapshots.app(APP, files), replaces }]);
    await using prepared = await this.#transport.prepare({ ...change, keepVersions: 2 });
    return await this.#transport.apply(this.#login.host, prepared, options);
  }

  /** The reason why it failed; null when it did not. */
  async reason(files: Record<string, string | FileSpec>, synced: Record<string, string> = {}): Promise<string | null> {
    const { outcome } = await this.apply(files, synced);
    return outcome.get(APP)?.reason ?? null;
  }

  async inspect(path: string): Promise<FileFact> {
    const [fact] = await this.#transport.inspect(this.#login.host, [{ path }], options);
    return fact!;
  }

  async read(path: string): Promise<string | undefined> {
    const [content] = await this.#transport.read(this.#login.host, [path], { ...options, limit: 1000 });
    return content?.toString();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#transport[Symbol.asyncDispose]();
  }
}
