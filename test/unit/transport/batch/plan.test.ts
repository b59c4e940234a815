import { describe, expect, test } from "vitest";
import { decodePath, encodePath } from "../../../../src/model/path.ts";
import type { FileEntry } from "../../../../src/model/manifest.ts";
import type { HostChange, KnownFile } from "../../../../src/ports/transport.ts";
import { planBatch, type BatchPlan } from "../../../../src/transport/batch/batch-plan.ts";
import { batchCommand, isLong } from "../../../../src/transport/batch/batch-script.ts";
import type { Contents } from "../../../../src/transport/batch/contents.ts";
import { forAnyShell } from "../../../../src/transport/login-shell.ts";
import { planPasses } from "../../../../src/transport/passes.ts";

interface Spec {
  readonly kind?: FileEntry["kind"];
  readonly mode?: number;
  readonly owner?: string;
  readonly checksum?: string;
  readonly size?: number;
}

function planOf(files: Record<string, Spec>, replaces: KnownFile[] = [], deletes: string[] = []): BatchPlan {
  const entries = Object.entries(files).map(([path, { kind = "file", mode = 0o644, owner = "root" }]): FileEntry => {
    return { path, kind, mode, owner, group: "root", blob: "b", tree: "t", from: "a/b/c" };
  });
  const contents: Contents = new Map(
    entries.map((file) => {
      const { checksum = `sum-of-${file.path}`, size = 1 } = files[file.path]!;
      return [file, { size, checksum, mode: file.mode & 0o111 ? 0o755 : 0o644 }];
    }),
  );
  const app = { app: "a/b/c", send: entries, delete: deletes, replaces } as const;
  const change: HostChange = { snapshotRoot: "/s", apps: [app], emptyFolders: [] };
  const passes = planPasses(change, (file) => contents.get(file)?.mode);
  return planBatch(change, passes, contents);
}

const host = { root: "/", sudo: false, asRoot: true, rsyncPath: "rsync" };
const sizes = ({ classes }: BatchPlan) => classes.map(() => 100);

describe("a batch", () => {
  test("holds the files of one ownership in the order of their modes, symlinks last", () => {
    const { classes, parents } = planOf({
      "d/l": { kind: "symlink" },
      "d/b": { mode: 0o755 },
      "d/a": {},
      c: { owner: "nobody" },
    });
    expect(classes.map(({ plain, links, modes }) => [plain, links, modes])).toEqual([
      [["./c"], [], [["81a4", 1]]],
      [
        ["./d/a", "./d/b"],
        ["./d/l"],
        [
          ["81a4", 1],
          ["81ed", 1],
          ["a1ff", 1],
        ],
      ],
    ]);
    expect(parents).toEqual(["./d"]);
  });

  test("is the same for the same paths, contents, kinds and modes, whoever shall own them", () => {
    const key = (files: Record<string, Spec>) => planOf(files).classes[0]!.key;
    const one = key({ a: {} });
    expect(key({ a: { owner: "nobody" } })).toBe(one);
    const others = [
      { a: { mode: 0o755 } },
      { a: { mode: 0o600 } },
      { a: { kind: "symlink" as const } },
      { a: { checksum: "another" } },
      { b: { checksum: "sum-of-a" } },
      { a: { size: 20_000 } },
    ].map(key);
    expect(new Set([one, ...others]).size).toBe(others.length + 1);
  });

  test("counts as maybe there what no earlier sync laid otherwise", () => {
    const replaces = [
      { path: "changed", checksums: ["old", "sum-of-changed"] },
      { path: "same", checksums: ["sum-of-same"] },
    ];
    expect(planOf({ changed: { size: 1 }, same: { size: 10 }, fresh: { size: 100 } }, replaces).maybeThere).toBe(110);
  });
});

describe("what is replaced", () => {
  test("may be as last synced, as it shall be, or as it was once", () => {
    const replaces = [
      { path: "b", checksums: ["now", "sum-of-b", "once"] },
      { path: "gone", checksums: ["last"] },
    ];
    expect(planOf({ a: {}, b: {} }, replaces, ["gone"]).replaced).toEqual({
      paths: ["./b", "./gone"],
      synced: "now  ./b\nlast  ./gone\n",
      desired: "sum-of-b  ./b\ndeleted  ./gone\n",
      others: "once  ./b\n",
    });
  });

  test("is not named again when it is all that is sent", () => {
    const path = "etc/some/file.conf";
    const { command } = batchCommand(planOf({ [path]: {} }, [{ path, checksums: ["x"] }]), [1], host);
    expect(command.split(`./${path}`)).toHaveLength(1 + 1 + 3);
  });
});

describe("the command", () => {
  const many = (count: number) =>
    planOf(Object.fromEntries(Array.from({ length: count }, (_, index) => [`etc/conf.d/${index}'s file`, {}])));

  test("is one argument that the kernel and sshd take, whatever the number of files", () => {
    for (const count of [1, 200, 1000, 3000]) {
      const plan = many(count);
      const made = batchCommand(plan, sizes(plan), host);
      expect(encodePath(made.command).length).toBeLessThan(128 * 1024);
      expect(isLong(plan, made)).toBe(count >= 1000);
    }
  });

  test("is one that a shell takes that has to have it escaped", () => {
    for (const count of [50, 100, 200, 400, 800]) {
      const plan = many(count);
      const { command } = batchCommand(plan, sizes(plan), host);
      expect(forAnyShell(command).length, `${count} files`).toBeLessThan(128 * 1024);
    }
  });

  test("has no checksum in it of a file that not everybody may read, or of one that is deleted", () => {
    const [secret, known] = ["5ec4e7", "0ld5ec"];
    const replaces = [{ path: "a", checksums: [known] }];
    const made = (files: Record<string, Spec>, deletes: string[] = []) =>
      batchCommand(planOf(files, replaces, deletes), [1], host);
    for (const { command, rest, byHead } of [
      made({ a: { mode: 0o640, checksum: secret } }),
      made({ a: { mode: 0o640, checksum: secret }, b: { mode: 0o640 } }),
      made({ b: { checksum: secret } }, ["a"]),
      made({ [decodePath(Buffer.of(0x81))]: { checksum: secret } }, ["a"]),
    ]) {
      expect([command.includes(secret), command.includes(known)]).toEqual([false, false]);
      expect([rest.includes(secret), rest.includes(known)]).toEqual([true, true]);
      expect(byHead).toBe(rest.includes(0x81));
    }
    const { command, rest } = made({ a: { checksum: secret } });
    expect([command.includes(secret), command.includes(known), rest.length]).toEqual([true, true, 0]);
  });

  test("has paths in the bytes of the host", () => {
    const path = decodePath(Buffer.of(0x61, 0xff, 0x62));
    const plan = planOf({ [path]: {} });
    expect(encodePath(batchCommand(plan, sizes(plan), host).command).includes(Buffer.of(0x61, 0xff, 0x62))).toBe(true);
  });

  test("has no word of a path or an owner outside of quotes", () => {
    const evil = `x'; touch /pwned; '"$(id)\`id\``;
    const plan = planOf({ [evil]: { owner: "nobody" } }, [{ path: evil, checksums: ["a"] }]);
    const { command } = batchCommand(plan, sizes(plan), { ...host, root: `/r'; id; '` });
    // Of the outer shell: everything but the first and the last words is one quoted word.
    const outer = command.replaceAll("'\\''", "").split("'");
    expect(outer).toHaveLength(3);
    expect([outer[0], outer[2]]).toEqual(["exec sh -c ", ' sh "$$"']);
  });
});
