import { mkdtempSync, rmSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { BatchFiles } from "../../../../src/transport/batch/batch-files.ts";
import { GO } from "../../../../src/transport/batch/batch-functions.ts";
import type { BatchPlan } from "../../../../src/transport/batch/batch-plan.ts";
import { Batch } from "../../../../src/transport/batch/batch.ts";

const NOTHING: BatchPlan = {
  replaced: { paths: [], synced: "", desired: "", others: "" },
  classes: [],
  deletes: [],
  emptyFolders: [],
  parents: [],
  maybeThere: 0,
  isHidden: false,
};
const HOST = { root: "/", sudo: false, asRoot: true, rsyncPath: "rsync" };

test("a batch is in memory once, however many hosts are served", async () => {
  const dir = mkdtempSync(join(tmpdir(), "batch-"));
  const files = new BatchFiles((count) => join(dir, String(count)));
  const batch = new Batch(NOTHING, [await files.take("a", (file) => writeFile(file, Buffer.alloc(200_000, "a")))]);
  const served = () => batch.with(HOST, (_, { whenSaid }) => whenSaid!.input());
  const [one, other] = await Promise.all([served(), served()]);
  expect(Buffer.concat(one).length).toBe(GO.length + 200_000);
  expect(one.at(-1)).toBe(other.at(-1));
  await batch.release();
  rmSync(dir, { recursive: true });
});
