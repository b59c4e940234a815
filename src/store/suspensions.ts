import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { AppKey } from "../model/app.ts";
import type { SuspendedTarget, SuspendTarget } from "../ports/suspender.ts";
import { keyText, textKey } from "./rows.ts";

interface Row {
  readonly kind: "repo" | "app" | "host";
  readonly key: string;
  readonly since: number;
  readonly who: string;
  readonly reason: string;
}

/** The statements that change what is suspended, prepared once. */
export class SuspensionStatements {
  readonly #knowRepo: StatementSync;
  readonly #put: StatementSync;
  readonly #drop: StatementSync;

  constructor(database: DatabaseSync) {
    this.#knowRepo = database.prepare("INSERT INTO repo (name) VALUES (?) ON CONFLICT DO NOTHING");
    this.#put = database.prepare(
      `INSERT INTO suspension (repo, kind, key, since, who, reason) VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET since = excluded.since, who = excluded.who, reason = excluded.reason`,
    );
    this.#drop = database.prepare("DELETE FROM suspension WHERE repo = ? AND kind = ? AND key = ?");
  }

  /** What is to run in the transaction. */
  put({ since = 0, by = "", reason = "", ...target }: SuspendedTarget): () => void {
    return () => {
      this.#knowRepo.run(target.repo);
      this.#put.run(target.repo, ...placeOf(target), since, by, reason);
    };
  }

  drop(target: SuspendTarget): () => void {
    return () => void this.#drop.run(target.repo, ...placeOf(target));
  }
}

export function readSuspensions(database: DatabaseSync, repo: string): SuspendedTarget[] {
  const rows: readonly unknown[] = database
    .prepare("SELECT kind, key, since, who, reason FROM suspension WHERE repo = ? ORDER BY kind, key")
    .all(repo);
  return (rows as Row[]).map(({ kind, key, since, who, reason }) => ({
    repo,
    ...(kind === "app" && { app: textKey<AppKey>(key) }),
    ...(kind === "host" && { host: textKey(key) }),
    since,
    by: who,
    reason,
  }));
}

function placeOf({ app, host }: SuspendTarget): [Row["kind"], string] {
  if (host !== undefined) return ["host", keyText(host)];
  return app === undefined ? ["repo", ""] : ["app", keyText(app)];
}
