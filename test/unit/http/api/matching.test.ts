import { describe, expect, test } from "vitest";
import { appMatcher, hostMatcher } from "../../../../src/http/views/matching.ts";
import type { AppKey } from "../../../../src/model/app.ts";
import { worst, type State } from "../../../../src/model/state.ts";
import type { AppItem, HostItem } from "../../../../src/reconcile/report-items.ts";
import { countStates } from "../../../../src/plan/status-report.ts";
import { revisionOf } from "../../../support/factories.ts";

function host(address: string, apps: Record<AppKey, State>, port = 22): HostItem {
  const none = { revision: null, digest: null, syncedAt: null };
  const listed = Object.entries(apps).map(([app, state]) => ({ app: app as AppKey, state, ...none }));
  return { repo: "files", suspended: false, address, port, state: worst(Object.values(apps)), apps: listed };
}

function app(repo: string, name: string, state: State): AppItem {
  const [mod, env, last] = name.split("/") as [string, string, string];
  const desired = { mod, env, app: last, revision: revisionOf("1"), digest: "0", state, hosts: countStates([state]) };
  return { repo, suspended: false, reasons: {}, ...desired };
}

const web = host("10.0.0.1", { "nginx/prod/web": "Failed", "nginx/prod/api": "Synced" });
const db = host("10.0.0.2", { "pg/prod/db": "Synced" }, 2222);
const test1 = host("2001:db8::1", { "nginx/test/web": "Pending" });
const hosts = [web, db, test1];

describe("hosts", () => {
  test.each<[Parameters<typeof hostMatcher>[0], HostItem[]]>([
    [{}, hosts],
    [{ repo: "files" }, hosts],
    [{ repo: "others" }, []],
    [{ state: ["Failed"] }, [web]],
    [{ state: ["Pending", "Synced"] }, [db, test1]],
    [{ mod: "nginx" }, [web, test1]],
    [{ mod: "nginx", env: "prod" }, [web]],
    [{ app: "web" }, [web, test1]],
    [{ app: "api", state: ["Synced"] }, [web]],
    [{ app: "api", state: ["Failed"] }, []],
    [{ mod: "nginx", app: "db" }, []],
    [{ address: "10.0.0.2" }, [db]],
    [{ address: "10.0.0.2:2222" }, [db]],
    [{ address: "10.0.0.2:22" }, []],
    [{ address: "2001:db8::1" }, [test1]],
    [{ address: "[2001:db8::1]:22" }, [test1]],
  ])("%j", (filter, found) => {
    expect(hosts.filter(hostMatcher(filter))).toEqual(found);
  });

  test("what is no address is refused", () => {
    for (const address of ["10.0.0.1/24", "a b", "10.0.0.1:99999", "-oProxyCommand=x"]) {
      expect(() => hostMatcher({ address })).toThrow(/expected ADDRESS/);
    }
  });
});

describe("apps", () => {
  const apps = [
    app("a", "nginx/prod/web", "Synced"),
    app("b", "nginx/test/web", "Drifted"),
    app("b", "pg/prod/db", "Synced"),
  ];
  test.each<[Parameters<typeof appMatcher>[0], number[]]>([
    [{}, [0, 1, 2]],
    [{ repo: "b" }, [1, 2]],
    [{ mod: "nginx" }, [0, 1]],
    [{ env: "prod", state: ["Synced"] }, [0, 2]],
    [{ app: "web", state: ["Drifted", "Failed"] }, [1]],
  ])("%j", (filter, found) => {
    expect(apps.filter(appMatcher(filter))).toEqual(found.map((at) => apps[at]));
  });
});
