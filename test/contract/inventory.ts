import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type AppId, type AppKey, appKey, parseAppKey } from "../../src/model/app.ts";
import type { HostRecord } from "../../src/model/record.ts";
import type { Inventory, InventoryAnswer } from "../../src/ports/inventory.ts";
import { makeRecord } from "../support/factories.ts";

export const WEB: AppId = { mod: "nginx", env: "prod", app: "web" };
export const API: AppId = { mod: "nginx", env: "prod", app: "api" };

export type WorldHost = string | { address: string; port?: number; user?: string; root?: string };

/** A CMDB of some kind, and inventories over it that share one data dir: each `open` is a restart. */
export interface InventoryWorld extends AsyncDisposable {
  /** Hosts of each app, as `mod/env/app` of the CMDB. */
  set(hosts: Record<AppKey, readonly WorldHost[]>): Promise<void>;
  /** Makes the CMDB unusable; absent where it cannot be. */
  fail?(): Promise<void>;
  open(options?: { maxShrinkPercent?: number; envAliases?: Record<string, string> }): Promise<Inventory>;
}

export interface WorldTraits {
  /** Whether an answer that shrinks is held. */
  readonly guarded: boolean;
  /** Whether hosts can be objects with user and root. */
  readonly objects: boolean;
}

/** What every inventory promises. The defaults of the world are user `root`, port 22. */
export function inventoryContract(name: string, factory: () => Promise<InventoryWorld>, traits: WorldTraits): void {
  // What a kind cannot have is no test of it, not a skipped one.
  const withObjects: (name: string, test: () => Promise<void>) => void = traits.objects ? it : () => {};
  const whenGuarded: (name: string, suite: () => void) => void = traits.guarded ? describe : () => {};

  describe(`inventory contract: ${name}`, () => {
    let world: InventoryWorld;
    const opened: Inventory[] = [];

    beforeEach(async () => {
      world = await factory();
    });

    afterEach(async () => {
      for (const inventory of opened.splice(0)) await inventory[Symbol.asyncDispose]();
      await world[Symbol.asyncDispose]();
    });

    async function open(options?: Parameters<InventoryWorld["open"]>[0]): Promise<Inventory> {
      const inventory = await world.open(options);
      opened.push(inventory);
      return inventory;
    }

    async function ask(apps: readonly AppId[], options?: Parameters<InventoryWorld["open"]>[0]) {
      return (await open(options)).refresh(apps, new AbortController().signal);
    }

    it("gives each app asked for its hosts, sorted by key, with every default filled in", async () => {
      await world.set({ "nginx/prod/web": ["10.0.0.2", "10.0.0.1"], "nginx/prod/api": ["10.0.0.3"] });
      const answer = await ask([WEB, API]);
      expect(answer.problems).toEqual([]);
      expect(keys(answer)).toEqual({
        "nginx/prod/web": ["10.0.0.1:22", "10.0.0.2:22"],
        "nginx/prod/api": ["10.0.0.3:22"],
      });
      expect(answer.hosts.get(appKey(API))).toEqual([
        { key: "10.0.0.3:22", address: "10.0.0.3", port: 22, user: "root", root: "/" },
      ]);
    });

    it("gives no hosts for an app that has none, and no app that was not asked for", async () => {
      await world.set({ "nginx/prod/web": ["10.0.0.1"], "nginx/prod/api": [] });
      expect(keys(await ask([API]))).toEqual({ "nginx/prod/api": [] });
    });

    it("takes ports out of addresses, also of IPv6", async () => {
      await world.set({ "nginx/prod/web": ["web-1:2222", "[2001:db8::1]:23"] });
      const hosts = (await ask([WEB])).hosts.get(appKey(WEB));
      expect(hosts?.map(({ address, port }) => [address, port])).toEqual([
        ["2001:db8::1", 23],
        ["web-1", 2222],
      ]);
    });

    it("gives a host once, however often and in whatever spelling it is named (fault 21)", async () => {
      await world.set({
        "nginx/prod/web": ["10.0.0.1", "10.0.0.1:22", "web-1", "WEB-1", "[2001:DB8:0::1]:22", "[2001:db8::1]:22"],
      });
      const answer = await ask([WEB]);
      expect(keys(answer)["nginx/prod/web"]).toEqual(["10.0.0.1:22", "[2001:db8::1]:22", "web-1:22"]);
      expect(answer.problems).toEqual([]);
    });

    it.each(["-oProxyCommand=x", "a;b", "user@h", "[::1%x]", "a b", "", "h:0", "h:99999", "../x", "x\u001b[31my", "é"])(
      "refuses the host %j by name and goes on with its siblings (fault 20)",
      async (bad) => {
        await world.set({ "nginx/prod/web": ["10.0.0.1", bad, "10.0.0.2"], "nginx/prod/api": ["10.0.0.3"] });
        const answer = await ask([WEB, API]);
        expect(keys(answer)).toEqual({
          "nginx/prod/web": ["10.0.0.1:22", "10.0.0.2:22"],
          "nginx/prod/api": ["10.0.0.3:22"],
        });
        expect(answer.problems).toEqual([
          expect.objectContaining({ reason: "InvalidHost", message: expect.stringContaining(JSON.stringify(bad)) }),
        ]);
        // oxlint-disable-next-line no-control-regex
        expect(answer.problems[0]?.message).not.toMatch(/[\u0000-\u001f]/);
      },
    );

    it("shortens the name of a bad host that is very long", async () => {
      await world.set({ "nginx/prod/web": [`-${"x".repeat(10_000)}`] });
      expect((await ask([WEB])).problems[0]?.message.length).toBeLessThan(250);
    });

    it("asks the CMDB for an env under its alias", async () => {
      await world.set({ "nginx/prod/web": ["10.0.0.1"], "nginx/test/web": ["10.0.0.9"] });
      const bx = { ...WEB, env: "bx" };
      expect(keys(await ask([bx], { envAliases: { bx: "prod" } }))).toEqual({ "nginx/bx/web": ["10.0.0.1:22"] });
    });

    it("remembers the last good answer across a restart without asking anybody", async () => {
      await world.set({ "nginx/prod/web": ["10.0.0.1", "10.0.0.2:2222"] });
      const first = await open();
      expect(await first.lastGood([WEB])).toBeNull();
      const answer = await first.refresh([WEB], new AbortController().signal);
      await world.fail?.();
      expect(await first.lastGood([WEB])).toEqual(answer);
      expect(await (await open()).lastGood([WEB])).toEqual(answer);
    });

    it("obeys when a host is added, and when one of several is removed (fault 24)", async () => {
      await world.set({ "nginx/prod/web": ["10.0.0.1", "10.0.0.2"] });
      await ask([WEB]);
      await world.set({ "nginx/prod/web": ["10.0.0.1", "10.0.0.2", "10.0.0.3"] });
      expect(keys(await ask([WEB]))["nginx/prod/web"]).toHaveLength(3);
      await world.set({ "nginx/prod/web": ["10.0.0.2", "10.0.0.3"] });
      expect(await ask([WEB])).toMatchObject({ problems: [] });
    });

    it("obeys when the only host of an app moves to another app (fault 24)", async () => {
      await world.set({ "nginx/prod/web": ["10.0.0.1"], "nginx/prod/api": ["10.0.0.2"] });
      await ask([WEB, API]);
      await world.set({ "nginx/prod/web": [], "nginx/prod/api": ["10.0.0.1", "10.0.0.2"] });
      const answer = await ask([WEB, API]);
      expect(answer.problems).toEqual([]);
      expect(keys(answer)).toEqual({ "nginx/prod/web": [], "nginx/prod/api": ["10.0.0.1:22", "10.0.0.2:22"] });
    });

    it("obeys when every host is replaced by another", async () => {
      await world.set({ "nginx/prod/web": ["10.0.0.1", "10.0.0.2"] });
      await ask([WEB]);
      await world.set({ "nginx/prod/web": ["10.0.1.1", "10.0.1.2"] });
      expect(await ask([WEB])).toMatchObject({ problems: [] });
    });

    withObjects("takes port, user and root of host objects", async () => {
      await world.set({ "nginx/prod/web": [{ address: "web-1", port: 2222, user: "deploy", root: "/srv" }] });
      expect((await ask([WEB])).hosts.get(appKey(WEB))).toEqual([
        { key: "web-1:2222", address: "web-1", port: 2222, user: "deploy", root: "/srv" },
      ]);
    });

    withObjects("refuses host objects with a bad user or root by name", async () => {
      await world.set({
        "nginx/prod/web": [
          { address: "a", user: "-oX" },
          { address: "b", root: "/x/../y" },
          { address: "c", root: "x" },
          "d",
        ],
      });
      const answer = await ask([WEB]);
      expect(keys(answer)["nginx/prod/web"]).toEqual(["d:22"]);
      expect(answer.problems.map(({ reason, message }) => `${reason} ${message}`)).toEqual([
        `InvalidHost host "a": its user is no login name`,
        `InvalidHost host "b": its root is no absolute folder without ..`,
        `InvalidHost host "c": its root is no absolute folder without ..`,
      ]);
    });

    withObjects("takes the first app's word where two describe one host differently", async () => {
      await world.set({
        "nginx/prod/web": [{ address: "a", user: "web" }],
        "nginx/prod/api": [{ address: "a", user: "api" }],
      });
      const answer = await ask([WEB, API]);
      expect([...answer.hosts.values()].map((hosts) => hosts[0]?.user)).toEqual(["api", "api"]);
      expect(answer.problems).toEqual([
        expect.objectContaining({
          reason: "InvalidHost",
          app: "nginx/prod/web",
          message: expect.stringContaining("a:22"),
        }),
      ]);
    });

    whenGuarded("when the CMDB loses hosts", () => {
      const four = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"];

      it.each([
        ["an empty answer", [] as string[]],
        ["a drop of three in four", ["10.0.0.1"]],
      ])("holds %s, also across a restart (fault 18)", async (_what, fewer) => {
        await world.set({ "nginx/prod/web": four });
        await ask([WEB]);
        await world.set({ "nginx/prod/web": fewer });
        for (let round = 0; round < 2; round += 1) {
          const answer = await ask([WEB]);
          expect(keys(answer)["nginx/prod/web"]).toHaveLength(4);
          expect(answer.problems).toEqual([
            {
              reason: "InventorySuspicious",
              app: "nginx/prod/web",
              message: `nginx/prod/web: 4 hosts became ${fewer.length}; the hosts known before stay (maxShrinkPercent is 50)`,
            },
          ]);
        }
        await world.set({ "nginx/prod/web": four.slice(0, 3) });
        expect(await ask([WEB])).toMatchObject({ problems: [] });
      });

      it("holds it too when only the status store knows the hosts, and then names none (fault 18)", async () => {
        const inventory = await open();
        inventory.adopt(four.map((address) => stored(address)));
        await world.set({ "nginx/prod/web": [] });
        const answer = await inventory.refresh([WEB], new AbortController().signal);
        expect(answer.hosts.has(appKey(WEB))).toBe(false);
        expect(answer.problems).toMatchObject([{ reason: "InventorySuspicious", app: "nginx/prod/web" }]);
        await world.set({ "nginx/prod/web": four.slice(0, 3) });
        expect(keys(await inventory.refresh([WEB], new AbortController().signal))["nginx/prod/web"]).toHaveLength(3);
      });

      it("takes the status store's hosts for the last good answer when it names their logins", async () => {
        const inventory = await open();
        inventory.adopt(four.map((address) => stored(address, "deploy")));
        await world.set({ "nginx/prod/web": [] });
        const { hosts } = await inventory.refresh([WEB], new AbortController().signal);
        expect(hosts.get(appKey(WEB))?.map(({ key, user, root }) => [key, user, root])).toEqual(
          four.map((address) => [`${address}:22`, "deploy", "/srv"]),
        );
      });

      it("takes the login of a host from the inventory, where only the status store answers for another app of it", async () => {
        const inventory = await open();
        inventory.adopt([
          stored("10.0.0.1", "before", [API, WEB]),
          stored("10.0.0.2", "before", [API, WEB]),
          stored("10.0.0.3", "before", [API]),
        ]);
        const logins = ({ hosts }: InventoryAnswer) =>
          hosts.get(appKey(API))?.map(({ key, user, root }) => `${user}@${key}${root}`);
        const now = ["root@10.0.0.1:22/", "root@10.0.0.2:22/", "before@10.0.0.3:22/srv"];
        await world.set({ "nginx/prod/api": [], "nginx/prod/web": ["10.0.0.1", "10.0.0.2"] });
        const held = await inventory.refresh([API, WEB], new AbortController().signal);
        expect(held.problems).toMatchObject([{ reason: "InventorySuspicious", app: "nginx/prod/api" }]);
        expect(logins(held)).toEqual(now);
        expect(held.hosts.get(appKey(WEB))?.map(({ user }) => user)).toEqual(["root", "root"]);
        await world.fail!();
        const silent = await inventory.refresh([API, WEB], new AbortController().signal);
        expect(silent.problems.filter(({ reason }) => reason !== "InventoryFailed")).toEqual([]);
        expect(logins(silent)).toEqual(now);
      });

      it("holds the empty answer of one app and obeys the others (fault 18)", async () => {
        await world.set({ "nginx/prod/web": ["10.0.0.9"], "nginx/prod/api": four });
        await ask([WEB, API]);
        await world.set({ "nginx/prod/web": [], "nginx/prod/api": [...four, "10.0.0.5"] });
        const answer = await ask([WEB, API]);
        expect(keys(answer)["nginx/prod/web"]).toEqual(["10.0.0.9:22"]);
        expect(keys(answer)["nginx/prod/api"]).toHaveLength(5);
        expect(answer.problems).toEqual([
          expect.objectContaining({ reason: "InventorySuspicious", app: "nginx/prod/web" }),
        ]);
      });

      it("obeys a drop of exactly maxShrinkPercent", async () => {
        await world.set({ "nginx/prod/web": four });
        await ask([WEB]);
        await world.set({ "nginx/prod/web": four.slice(0, 2) });
        expect(await ask([WEB])).toMatchObject({ problems: [] });
      });

      it("obeys everything when maxShrinkPercent is 100", async () => {
        await world.set({ "nginx/prod/web": four });
        await ask([WEB]);
        await world.set({ "nginx/prod/web": [] });
        expect(keys(await ask([WEB], { maxShrinkPercent: 100 }))).toEqual({ "nginx/prod/web": [] });
      });

      it("keeps the last good hosts when the CMDB fails, also across a restart (fault 17)", async () => {
        await world.set({ "nginx/prod/web": four });
        const good = await ask([WEB]);
        await world.fail!();
        const answer = await ask([WEB]);
        expect(answer.hosts).toEqual(good.hosts);
        expect(answer.problems).toEqual([expect.objectContaining({ reason: "InventoryFailed" })]);
      });

      it("leaves an app out that it never had an answer for when the CMDB fails", async () => {
        await world.fail!();
        const answer = await ask([WEB]);
        expect(keys(answer)).toEqual({});
        expect(answer.problems).toHaveLength(1);
      });
    });
  });
}

export function keys(answer: InventoryAnswer): Record<string, string[]> {
  return Object.fromEntries([...answer.hosts].map(([app, hosts]) => [app, hosts.map(({ key }) => key)]));
}

/** Entries for a CMDB that has all apps in one list. */
export function labelledHosts(hosts: Record<AppKey, readonly WorldHost[]>): Record<string, unknown>[] {
  return Object.entries(hosts).flatMap(([key, list]) =>
    list.map((host) => ({ ...(typeof host === "string" ? { address: host } : host), ...parseAppKey(key) })),
  );
}

/** What a status store has of a host that runs these apps. */
function stored(address: string, user?: string, ids: readonly AppId[] = [WEB]): HostRecord {
  const apps = new Map(ids.map((id) => [appKey(id), makeRecord(null)]));
  return { key: `${address}:22`, address, port: 22, root: "/srv", ...(user === undefined ? {} : { user }), apps };
}
