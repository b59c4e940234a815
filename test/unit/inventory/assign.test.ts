import { describe, expect, it } from "vitest";
import { assignHosts } from "../../../src/inventory/assign.ts";

const WEB = { mod: "nginx", env: "bx", app: "web" };
const API = { mod: "nginx", env: "bx", app: "api" };
const rules = { envAliases: { bx: "prod" }, strictKeys: false };

describe("assigning hosts to apps", () => {
  it.each([
    ["all labels fit", { mod: "nginx", env: "prod", app: "web" }, true],
    ["only the app", { app: "web" }, true],
    ["another app", { app: "api" }, false],
    ["another mod", { mod: "redis", app: "web" }, false],
    ["another env", { env: "test", app: "web" }, false],
    ["the env as Git calls it, not as the CMDB does", { env: "bx", app: "web" }, false],
    ["labels that are null", { mod: null, env: null, app: "web" }, true],
  ])("of one answer for all: %s", (_what, labels, fits) => {
    const { hosts, refused } = assignHosts({ apps: [WEB], whole: true }, [{ address: "h", ...labels }], rules);
    expect(hosts.get("nginx/bx/web")).toHaveLength(fits ? 1 : 0);
    expect(refused).toEqual([]);
  });

  it("refuses by name what does not say its app in one answer for all", () => {
    const { refused } = assignHosts({ apps: [WEB], whole: true }, ["h1", { address: "h2", mod: "nginx" }], rules);
    expect(refused).toEqual([
      'host "h1" does not say which app it belongs to',
      'host "h2" does not say which app it belongs to',
    ]);
  });

  it("gives what has no labels to every app that shares the query", () => {
    const { hosts } = assignHosts({ apps: [WEB, API], whole: false }, ["h1", { address: "h2", app: "api" }], rules);
    expect(hosts.get("nginx/bx/web")?.map(({ address }) => address)).toEqual(["h1"]);
    expect(
      hosts
        .get("nginx/bx/api")
        ?.map(({ address }) => address)
        .sort(),
    ).toEqual(["h1", "h2"]);
  });

  it("does not take an alias from the prototype of a map", () => {
    const app = { ...WEB, env: "constructor" };
    const { hosts } = assignHosts({ apps: [app], whole: false }, [{ address: "h", env: "constructor" }], rules);
    expect(hosts.get("nginx/constructor/web")).toHaveLength(1);
  });
});
