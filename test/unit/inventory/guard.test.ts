import { describe, expect, it } from "vitest";
import { type HostsByApp, suspicions } from "../../../src/inventory/guard.ts";
import type { AppKey } from "../../../src/model/app.ts";

const A: AppKey = "m/e/a";
const B: AppKey = "m/e/b";

describe("the guard against answers that shrink", () => {
  it.each<[string, string, string, string, string[]]>([
    ["nothing known before", "", "a: ", "one", []],
    ["an app known to be empty", "a: ", "a: ", "one", []],
    ["equal", "a: 1 2", "a: 1 2", "one", []],
    ["grown", "a: 1", "a: 1 2", "one", []],
    ["half", "a: 1 2", "a: 1", "one", []],
    ["more than half", "a: 1 2 3", "a: 1", "one", [A]],
    ["empty", "a: 1", "a: ", "one", [A]],
    ["replaced", "a: 1 2", "a: 3 4", "one", []],
    ["one app of two empty", "a: 1; b: 2 3 4", "a: ; b: 2 3 4", "all", [A]],
    ["one app of two empty, its host moved", "a: 1; b: 2", "a: ; b: 1 2", "all", []],
    ["one app of two empty, its host was the other's before too", "a: 1; b: 1 2", "a: ; b: 1 2", "all", [A]],
    ["moved to an app that is new", "a: 1 2", "a: ; b: 1 2", "all", []],
    ["together more than half, each at most half", "a: 1 2; b: 3 4 5", "a: 1; b: 3", "all", [A, B]],
    ["together half", "a: 1 2; b: 3 4", "a: 1; b: 3", "all", []],
    ["one shrinks a lot, together little", "a: 1 2 3; b: 4 5 6 7", "a: 1; b: 4 5 6 7", "all", []],
    ["the same, asked one by one", "a: 1 2 3; b: 4 5 6 7", "a: 1; b: 4 5 6 7", "one", [A]],
    ["a new app does not make up for the loss", "a: 1 2 3", "a: 1; b: 7 8 9", "all", [A]],
  ])("%s", (_what, earlier, now, scope, held) => {
    const scopes = scope === "all" ? [[A, B]] : [[A], [B]];
    const found = suspicions(scopes, { earlier: hosts(earlier), now: hosts(now), maxShrinkPercent: 50 });
    expect(found.flatMap(({ apps }) => apps)).toEqual(held);
  });

  it("believes everything at 100 percent and nothing that shrinks at 0", () => {
    const shrunk = { earlier: hosts("a: 1 2"), now: hosts("a: 1") };
    const gone = { earlier: hosts("a: 1 2"), now: hosts("a: ") };
    expect(suspicions([[A]], { ...gone, maxShrinkPercent: 100 })).toHaveLength(0);
    expect(suspicions([[A]], { ...shrunk, maxShrinkPercent: 0 })).toHaveLength(1);
  });
});

/** `a: 1 2; b: 3` */
function hosts(text: string): HostsByApp {
  const apps = text.split(";").filter((part) => part !== "");
  return new Map(
    apps.map((part) => {
      const [app, list] = part.split(":") as [string, string];
      return [`m/e/${app.trim()}` as AppKey, new Set(list.split(" ").filter((host) => host !== ""))];
    }),
  );
}
