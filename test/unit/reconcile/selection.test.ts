import { describe, expect, test } from "vitest";
import type { AppKey } from "../../../src/model/app.ts";
import type { HostKey } from "../../../src/model/host.ts";
import type { Fleet, FleetHost } from "../../../src/reconcile/fleet.ts";
import { requireNamed, select } from "../../../src/reconcile/selection.ts";
import { makeHost } from "../../support/factories.ts";

const WEB: AppKey = "nginx/prod/web";
const API: AppKey = "nginx/prod/api";

/** Counts how many hosts are looked through. */
class Hosts extends Map<HostKey, FleetHost> {
  seen = 0;

  override *values(): MapIterator<FleetHost> {
    for (const host of super.values()) {
      this.seen += 1;
      yield host;
    }
    return undefined;
  }
}

function fleetOf(hosts: readonly { readonly address: string; readonly port?: number }[]) {
  const all = new Hosts();
  for (const { address, port = 22 } of hosts) {
    const host = makeHost(address, { port });
    all.set(host.key, { key: host.key, host, apps: [WEB], records: new Map() });
  }
  const desired = new Map([WEB, API].map((app) => [app, {}]));
  return { hosts: all, repo: { repo: "files", fleet: { desired, hosts: all, wasRead: true } as unknown as Fleet } };
}

const hostsOf = (repo: { readonly repo: string; readonly fleet: Fleet }, hosts: readonly string[]) => [
  ...(select([repo], { apps: [], hosts })[0]!.selection.hosts ?? []),
];

describe("hosts that are named", () => {
  test.for<[string, string[], string[]]>([
    ["an address means all its ports", ["10.0.0.1"], ["10.0.0.1:22", "10.0.0.1:23"]],
    ["with a port it means one", ["10.0.0.1:23"], ["10.0.0.1:23"]],
    ["IPv6, with and without brackets", ["::1", "[::1]", "[::1]:22"], ["[::1]:22"]],
    ["twice they are once", ["web-1", "web-1", "web-1:22"], ["web-1:22"]],
  ])("%s", ([, names, found]) => {
    const { repo } = fleetOf([
      { address: "10.0.0.1" },
      { address: "10.0.0.1", port: 23 },
      { address: "::1" },
      { address: "web-1" },
    ]);
    expect(hostsOf(repo, names)).toEqual(found);
  });

  test("of which one is unknown are refused", () => {
    const { repo } = fleetOf([{ address: "10.0.0.1" }]);
    for (const name of ["10.0.0.2", "10.0.0.1:23", "no host at all"])
      expect(() => hostsOf(repo, ["10.0.0.1", name])).toThrow(`no host ${name}`);
  });

  test("by the thousand cost one look through the fleet, and none where ports are named", () => {
    const addresses = Array.from({ length: 5000 }, (_, n) => `10.0.${n >> 8}.${n & 255}`);
    const { repo, hosts } = fleetOf(addresses.map((address) => ({ address })));
    expect(hostsOf(repo, addresses)).toHaveLength(5000);
    requireNamed([repo], { apps: [WEB], hosts: addresses });
    expect(hosts.seen).toBe(2 * 5000);
    expect(
      hostsOf(
        repo,
        addresses.map((address) => `${address}:22`),
      ),
    ).toHaveLength(5000);
    expect(hosts.seen).toBe(2 * 5000);
  });
});
