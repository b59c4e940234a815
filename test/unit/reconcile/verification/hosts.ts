import { onTestFinished } from "vitest";
import type { AppKey } from "../../../../src/model/app.ts";
import type { Host, HostKey } from "../../../../src/model/host.ts";
import type { FileEntry } from "../../../../src/model/manifest.ts";
import type { FileFact } from "../../../../src/ports/transport.ts";
import type { RepoControllerOptions } from "../../../../src/reconcile/repo-controller.ts";
import { checksumOf, makeHost, objectId, type Files } from "../../../support/factories.ts";
import { Rig } from "../rig.ts";

export const WEB: AppKey = "nginx/prod/web";
export const API: AppKey = "nginx/prod/api";
export const INTERVAL = 60_000;
export const [h0, h1] = ["h0", "h1"].map((name) => makeHost(name)) as [Host, Host];

const DRIFT = {
  interval: INTERVAL,
  action: "report",
  concurrency: 8,
  keepVersions: 5,
  isIgnored: () => false,
} as const;

/** A controller at rest whose hosts have in fact what was sent to them; people may edit it there. */
export class EditedHosts {
  readonly rig: Rig;

  constructor(overrides: Partial<RepoControllerOptions>) {
    this.rig = new Rig(overrides);
    const { transport } = this.rig;
    const apply = transport.apply.bind(transport);
    transport.apply = async (host, prepared, options) => {
      const applied = await apply(host, prepared, options);
      for (const { app, send, delete: gone } of prepared.change.apps) {
        if (applied.outcome.get(app) !== null) continue;
        for (const entry of send) this.put(host.key, entry.path, factOf(entry));
        for (const path of gone) this.put(host.key, path, { kind: "missing" });
      }
      return applied;
    };
  }

  put(host: HostKey, path: string, fact: FileFact): void {
    const facts = this.rig.transport.facts.get(host) ?? new Map<string, FileFact>();
    this.rig.transport.facts.set(host, facts.set(path, fact));
  }

  /** Somebody writes something else into a file. */
  edit(path: string, text = "by hand", host = h0.key): void {
    const root = { owner: "root", group: "root", uid: 0, gid: 0 };
    this.put(host, path, { kind: "file", mode: 0o644, checksum: checksumOf(objectId(text)), ...root });
  }

  has(path: string, host = h0.key): FileFact | undefined {
    return this.rig.transport.facts.get(host)?.get(path);
  }

  /** Lets each host have its turn once. */
  turn(): Promise<void> {
    return this.rig.pass(INTERVAL, 2500);
  }

  looksAt(host = h0.key): number {
    return this.rig.transport.inspections.filter((inspection) => inspection.host === host).length;
  }

  /** Paths of each sync of a host, or heal, since the start. */
  sent(host = h0.key): string[][] {
    return this.rig.transport
      .appliesTo(host)
      .map(({ change }) => change.apps.flatMap(({ send }) => send.map((file) => file.path)));
  }

  drift(host = h0.key, app: AppKey = WEB) {
    return this.rig.record(host, app)?.drift;
  }

  states(app: AppKey = WEB) {
    this.rig.controller.fleet.touch([app]);
    const found = [...this.rig.telemetry.fleet!.takeChanged()].find((one) => one.app === app)!.current!;
    return { ...found, states: Object.fromEntries(Object.entries(found.hosts).filter(([, count]) => count > 0)) };
  }

  told(message: string): Record<string, unknown>[] {
    return this.rig.log.lines.filter(({ msg }) => msg === message);
  }
}

function factOf({ kind, mode, blob, owner, group }: FileEntry): FileFact {
  const common = { owner, group, uid: 0, gid: 0, checksum: checksumOf(blob) };
  return kind === "file" ? { ...common, kind, mode } : { ...common, kind };
}

/** These apps on these hosts, all synced; `drift` over an interval of a minute that only reports. */
export async function synced(
  apps: Record<string, Files>,
  {
    on = [h0],
    drift = {},
    ...overrides
  }: Partial<Omit<RepoControllerOptions, "drift">> & {
    on?: readonly Host[];
    drift?: Partial<RepoControllerOptions["drift"]>;
  } = {},
): Promise<EditedHosts> {
  const hosts = new EditedHosts({ ...overrides, drift: { ...DRIFT, ...drift } });
  onTestFinished(() => hosts.rig[Symbol.asyncDispose]());
  hosts.rig.source.push(apps);
  for (const app of Object.keys(apps)) hosts.rig.inventory.set(app, on);
  await hosts.rig.start();
  hosts.rig.transport.applies.length = hosts.rig.transport.inspections.length = 0;
  hosts.rig.log.lines.length = hosts.rig.telemetry.verifications.length = 0;
  return hosts;
}
