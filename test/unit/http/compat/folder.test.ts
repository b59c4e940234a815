import { expect, test } from "vitest";
import { folderIn } from "../../../../src/http/compat/folder.ts";
import type { Manifest } from "../../../../src/model/manifest.ts";
import type { RepoController } from "../../../../src/reconcile/repo-controller.ts";

test("folders that git is asked for wait in a line that is not long, and the same one is asked for once", async () => {
  const { promise, resolve } = Promise.withResolvers<Manifest | null>();
  const asked: string[] = [];
  const source = { folderAt: (key: string) => (asked.push(key), promise) };
  const fleet = { revision: `main@sha1:${"0".repeat(40)}`, desired: new Map() };
  const repo = { repo: "files", source, fleet } as unknown as RepoController;
  const ask = (env: string) => folderIn(repo, { mod: "env", env, app: "common_files" });
  const answers = Array.from({ length: 64 }, (_, at) => ask(`env-${at % 32}`));
  expect(asked).toHaveLength(32);
  await expect(ask("one-more")).rejects.toMatchObject({ statusCode: 503, headers: { "retry-after": "2" } });
  resolve(null);
  expect(new Set(await Promise.all(answers))).toEqual(new Set([null]));
  expect(await ask("one-more")).toBeNull();
});
