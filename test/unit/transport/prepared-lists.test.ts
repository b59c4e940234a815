import { mkdtempSync, rmSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import type { HostChange } from "../../../src/ports/transport.ts";
import { PreparedLists } from "../../../src/transport/prepared-lists.ts";

vi.mock(import("node:fs/promises"), async (original) => {
  const real = await original();
  return { ...real, rm: vi.fn(real.rm) };
});

test("what cannot be removed is nobody's failure: an outcome is known by then", async () => {
  const dir = mkdtempSync(join(tmpdir(), "lists-"));
  const change: HostChange = { snapshotRoot: dir, apps: [], emptyFolders: [] };
  const prepared = await PreparedLists.make(change, join(dir, "change-1"));
  const full = new Error("EMFILE: too many open files");
  prepared.onDispose(() => Promise.reject(full));
  vi.mocked(rm).mockRejectedValueOnce(full);
  await expect(prepared[Symbol.asyncDispose]()).resolves.toBeUndefined();
  const asked = vi.fn(() => Promise.reject(full));
  prepared.onDispose(asked);
  // One that nobody waits for would fail this test by itself.
  await new Promise((resolve) => setImmediate(resolve));
  expect(asked).toHaveBeenCalledOnce();
  rmSync(dir, { recursive: true });
});
