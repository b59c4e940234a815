import { describe, expect, test } from "vitest";
import { appId, appKey, parseAppKey } from "../../../src/model/app.ts";
import { formatDuration, parseDuration } from "../../../src/model/duration.ts";
import { asFssyncError, FssyncError, leftHostUntouched, REASONS, type Reason } from "../../../src/model/errors.ts";
import { hostKey, isAccountName, isHostAddress, isPort, isRootFolder, parseHostText } from "../../../src/model/host.ts";
import { revision, revisionCommit, shortRevision } from "../../../src/model/revision.ts";
import { STATES, worst } from "../../../src/model/state.ts";

describe("apps", () => {
  test("a key is split into what made it", () => {
    const id = { mod: "nginx", env: "prod", app: "web" };
    expect(appId(appKey(id))).toEqual(id);
    expect(parseAppKey("nginx/prod/web")).toEqual(id);
  });

  test.for([
    "",
    "nginx",
    "nginx/prod",
    "nginx/prod/",
    "/prod/web",
    "nginx//web",
    "nginx/prod/web/x",
    "nginx/prod/web/",
  ])("%j is no app", (text) => expect(parseAppKey(text)).toBeUndefined());
});

describe("durations", () => {
  test.for<[string, number]>([
    ["250ms", 250],
    ["10s", 10_000],
    ["1.5h", 5_400_000],
    ["1h30m", 5_400_000],
    ["2d", 172_800_000],
    ["0s", 0],
  ])("%s is %d ms", ([text, milliseconds]) => expect(parseDuration(text)).toBe(milliseconds));

  test.for(["", "10", "s", "10 s", "-1s", "1w", "10S", "1.s", "1e3s", "10s "])("%j is none", (text) =>
    expect(parseDuration(text)).toBeUndefined(),
  );

  test.for<[number, string]>([
    [0, "0ms"],
    [850, "850ms"],
    [12_000, "12s"],
    [59_999, "1m"],
    [200_000, "3m20s"],
    [3_599_999, "1h"],
    [18_600_000, "5h10m"],
    [183_600_000, "2d3h"],
  ])("%d ms reads %s", ([milliseconds, text]) => expect(formatDuration(milliseconds)).toBe(text));
});

describe("hosts", () => {
  test.for(["10.0.0.1", "::1", "fe80::1", "web-1", "web-1.example.com", "1", "A"])("%s is an address", (text) =>
    expect(isHostAddress(text)).toBe(true),
  );

  test.for([
    "",
    "-oProxyCommand=x",
    "a;b",
    "user@h",
    "a b",
    "fe80::1%eth0",
    "::1%x",
    "$(id)",
    "a/b",
    "a\n",
    "a_b",
    ".a",
    "a".repeat(254),
    "ünicode",
  ])("%j is no address", (text) => expect(isHostAddress(text)).toBe(false));

  test.for<[string, { address: string; port?: number } | undefined]>([
    ["10.0.0.1", { address: "10.0.0.1" }],
    ["10.0.0.1:2222", { address: "10.0.0.1", port: 2222 }],
    ["web-1:22", { address: "web-1", port: 22 }],
    ["::1", { address: "::1" }],
    ["[::1]", { address: "::1" }],
    ["[::1]:2222", { address: "::1", port: 2222 }],
    ["[::1%x]:22", undefined],
    ["[web-1]:22", undefined],
    ["web-1:0", undefined],
    ["web-1:65536", undefined],
    ["web-1:-1", undefined],
    ["web-1:", undefined],
    [":22", undefined],
    ["a:b:c", undefined],
    ["user@h:22", undefined],
  ])("%j is read as %j", ([text, host]) => expect(parseHostText(text)).toEqual(host));

  test("a key is read back as the host it was made of", () => {
    for (const address of ["10.0.0.1", "::1", "web-1"])
      expect(parseHostText(hostKey(address, 2222))).toEqual({ address, port: 2222 });
  });

  test("ports, accounts and roots that could be read as something else are refused", () => {
    for (const port of [0, 65_536, 1.5, Number.NaN]) expect(isPort(port)).toBe(false);
    for (const name of ["", "-u", "a b", "a:b", "$(id)", "0", "a\n"]) expect(isAccountName(name)).toBe(false);
    for (const name of ["root", "www-data", "_x", "svc$", "a.b"]) expect(isAccountName(name)).toBe(true);
    for (const root of ["", "srv", "/srv/..", "/a/../b", "/a\nb", "/\u0000"]) expect(isRootFolder(root)).toBe(false);
    for (const root of ["/", "/srv", "/srv/a..b"]) expect(isRootFolder(root)).toBe(true);
  });
});

test("a revision is read back, also of a branch with a colon-like name", () => {
  const text = revision("feature/x@sha1", "a".repeat(40));
  expect(revisionCommit(text)).toBe("a".repeat(40));
  expect(shortRevision(revision("main", "0123456789"))).toBe("main@sha1:01234567");
});

describe("states", () => {
  test("the worst one is the host's, in the design's order", () => {
    expect(STATES).toEqual([
      "Failed",
      "Conflict",
      "Unreachable",
      "Drifted",
      "Syncing",
      "Pending",
      "Suspended",
      "Synced",
    ]);
    for (const [index, state] of STATES.entries()) expect(worst(STATES.slice(index).toReversed())).toBe(state);
    expect(worst([])).toBe("Synced");
  });
});

describe("errors", () => {
  test.for<[unknown, Reason]>([
    [new FssyncError("NoSpace", "x"), "NoSpace"],
    [Object.assign(new Error("x"), { code: "ENOSPC" }), "ControllerNoSpace"],
    [Object.assign(new Error("x"), { code: "EMFILE" }), "ControllerExhausted"],
    [new Error("x"), "FetchFailed"],
    ["x", "FetchFailed"],
    [null, "FetchFailed"],
    [undefined, "FetchFailed"],
  ])("%o becomes %s", ([thrown, reason]) => expect(asFssyncError(thrown, "FetchFailed").reason).toBe(reason));

  test("every reason says what it means and what to do", () => {
    for (const info of Object.values(REASONS)) {
      expect(info.meaning).toMatch(/\.$/);
      expect(info.next).toMatch(/\.$/);
    }
  });

  test("whatever may have sent a byte counts as having changed the host", () => {
    const touched: Reason[] = [
      "SyncTimeout",
      "ConnectionLost",
      "PartialTransfer",
      "NoSpace",
      "Interrupted",
      "Internal",
    ];
    for (const reason of touched) expect(leftHostUntouched(reason)).toBe(false);
    expect(leftHostUntouched("ConnectRefused")).toBe(true);
  });
});
