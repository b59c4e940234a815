import { describe, expect, test } from "vitest";
import type { AppKey } from "../../../src/model/app.ts";
import { FssyncError } from "../../../src/model/errors.ts";
import type { AppRecord } from "../../../src/model/record.ts";
import { lagOf } from "../../../src/reconcile/lag.ts";
import type { AppWish } from "../../../src/reconcile/requests.ts";
import { FakeGitSource } from "../../support/fakes.ts";
import { makeApp, makeHost, makeRecord } from "../../support/factories.ts";

const WEB: AppKey = "nginx/prod/web";
const host = makeHost("h1");
const FULL: AppWish = { full: true, allowPrune: null };
const LAGGING: AppWish = { full: false, allowPrune: null };

/** A mirror in which some commits cannot be read. */
class DamagedSource extends FakeGitSource {
  failure: FssyncError | null = null;

  override async appAt(app: AppKey, commit: string) {
    if (this.failure) throw this.failure;
    return super.appAt(app, commit);
  }
}

function setUp() {
  const source = new DamagedSource();
  const revision = source.push({ [WEB]: { a: "1" } });
  const had = makeApp(WEB, { a: "1" }, { revision });
  const lag = (overrides: Partial<AppRecord>, wish: AppWish) => {
    const records = new Map([[WEB, makeRecord(had, overrides)]]);
    const app = { ...makeApp(WEB, { a: "2" }), seenAt: 1 };
    return lagOf(source, { key: host.key, host, apps: [WEB], records }, app, wish);
  };
  return { source, had, lag };
}

describe("a recorded revision that names no commit", () => {
  test.each(["main@sha1:xyz", "main@sha1:", "main@sha1:--help"] as const)("is lost, not an error: %s", async (bad) => {
    const { lag, had, source } = setUp();
    source.lookups.length = 0;
    const overrides = { revision: bad, unfinished: [bad], suspected: [bad] };
    for (const wish of [LAGGING, FULL]) {
      expect(await lag(overrides, wish)).toMatchObject({
        recorded: { digest: had.digest, revision: bad },
        base: null,
        unfinished: [null],
        suspected: [null],
      });
    }
    expect(source.lookups).toEqual([]);
  });
});

describe("a base that cannot be read", () => {
  test.each([LAGGING, FULL])("stops the sync, full or not: what is deleted depends on it", async (wish) => {
    const { lag, source } = setUp();
    source.failure = new FssyncError("SourceUnavailable", "the mirror is damaged");
    await expect(lag({}, wish)).rejects.toMatchObject({ reason: "SourceUnavailable" });
  });
});
