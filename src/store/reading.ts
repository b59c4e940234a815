import type { DatabaseSync } from "node:sqlite";
import type { Logger } from "pino";
import type { AppKey } from "../model/app.ts";
import type { HostKey } from "../model/host.ts";
import type { DesiredRecord, HostRecord } from "../model/record.ts";
import type { RepoStatus } from "../ports/status-store.ts";
import {
  type AppRow,
  type HostRow,
  type Intern,
  type RepoRow,
  desiredFromRow,
  hostFromRow,
  interning,
  repoFromRow,
} from "./rows.ts";

/** All of a repo as it is at one moment. A row that cannot be read counts as unknown: it is logged and left out. */
export function readStatus(database: DatabaseSync, repo: string, log: Logger): RepoStatus {
  database.exec("BEGIN");
  try {
    const repoRow = database.prepare("SELECT revision, problems FROM repo WHERE name = ?").get(repo);
    const appRows = database
      .prepare("SELECT key, digest, revision, seen_at, refused FROM app WHERE repo = ?")
      .all(repo);
    return decode(repoRow, appRows, hostRows(database, repo), log);
  } finally {
    database.exec("ROLLBACK");
  }
}

/** In portions: the text of all hosts at once would be most of the memory that a large fleet ever needs. */
function* hostRows(database: DatabaseSync, repo: string): Iterable<HostRow> {
  const portion = database.prepare(
    "SELECT key, address, port, root, fallback, apps FROM host WHERE repo = ? AND key > ? ORDER BY key LIMIT 200",
  );
  for (let last = ""; ;) {
    const rows: readonly unknown[] = portion.all(repo, last);
    const hosts = rows as HostRow[];
    if (hosts.length === 0) return;
    yield* hosts;
    last = hosts.at(-1)!.key;
  }
}

export function readRepos(database: DatabaseSync): string[] {
  const rows = database.prepare("SELECT name FROM repo ORDER BY name").all();
  return rows.map(({ name }) => String(name));
}

function decode(repoRow: unknown, appRows: readonly unknown[], rows: Iterable<HostRow>, log: Logger): RepoStatus {
  const intern = interning();
  const apps = new Map<AppKey, DesiredRecord>();
  const hosts = new Map<HostKey, HostRecord>();
  for (const row of appRows as AppRow[]) put(apps, row, desiredFromRow, intern, log);
  for (const row of rows) put(hosts, row, hostFromRow, intern, log);
  return { repo: repoFromRow(repoRow as RepoRow | undefined), apps, hosts };
}

function put<Row extends { key: string }, Value extends { key: string }>(
  into: Map<string, Value>,
  row: Row,
  decodeRow: (row: Row, intern: Intern) => Value,
  intern: Intern,
  log: Logger,
): void {
  try {
    const value = decodeRow(row, intern);
    into.set(value.key, value);
  } catch (error) {
    log.error({ key: row.key, err: error }, "a record in the status store cannot be read; it counts as unknown");
  }
}
