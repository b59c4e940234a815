import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { AppKey } from "../model/app.ts";
import type { DesiredRecord, HostRecord, RepoRecord } from "../model/record.ts";
import type { StatusChange } from "../ports/status-store.ts";
import { hostAppsText, keyText } from "./rows.ts";

/** The statements that change the store, prepared once. */
export class StatusStatements {
  readonly #knowRepo: StatementSync;
  readonly #putRepo: StatementSync;
  readonly #dropRepo: StatementSync;
  readonly #putApp: StatementSync;
  readonly #dropApp: StatementSync;
  readonly #putHost: StatementSync;
  readonly #dropHost: StatementSync;

  constructor(database: DatabaseSync) {
    this.#knowRepo = database.prepare("INSERT INTO repo (name) VALUES (?) ON CONFLICT DO NOTHING");
    this.#putRepo = database.prepare("UPDATE repo SET revision = ?, problems = ? WHERE name = ?");
    this.#dropRepo = database.prepare("DELETE FROM repo WHERE name = ?");
    this.#putApp = database.prepare(
      `INSERT INTO app (repo, key, digest, revision, seen_at, refused) VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET digest = excluded.digest, revision = excluded.revision,
                                 seen_at = excluded.seen_at, refused = excluded.refused`,
    );
    this.#dropApp = database.prepare("DELETE FROM app WHERE repo = ? AND key = ?");
    this.#putHost = database.prepare(
      `INSERT INTO host (repo, key, address, port, root, fallback, apps) VALUES (?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET address = excluded.address, port = excluded.port, root = excluded.root,
                                 fallback = excluded.fallback, apps = excluded.apps`,
    );
    this.#dropHost = database.prepare("DELETE FROM host WHERE repo = ? AND key = ?");
  }

  /**
   * What is to run in the transaction. The change is turned into values now: it is stored as it was at
   * the call, whatever becomes of it meanwhile.
   */
  prepare(repo: string, { repo: record, apps, hosts }: StatusChange): () => void {
    const runs = [
      bound(this.#knowRepo, repo),
      ...(record === undefined ? [] : [this.#repo(repo, record)]),
      ...Array.from(apps ?? [], ([key, app]) => this.#app(repo, key, app)),
      ...Array.from(hosts ?? [], ([key, host]) => this.#host(repo, key, host)),
    ];
    return () => runs.forEach((run) => run());
  }

  prepareRemove(repo: string): () => void {
    return bound(this.#dropRepo, repo);
  }

  #repo(repo: string, { revision, problems }: RepoRecord): () => void {
    return bound(this.#putRepo, revision, JSON.stringify(problems), repo);
  }

  #app(repo: string, key: AppKey, app: DesiredRecord | null): () => void {
    if (app === null) return bound(this.#dropApp, repo, keyText(key));
    return bound(this.#putApp, repo, keyText(key), app.digest, app.revision, app.seenAt, refusedText(app));
  }

  #host(repo: string, key: string, host: HostRecord | null): () => void {
    if (host === null) return bound(this.#dropHost, repo, keyText(key));
    const { address, port, root, fallback = null } = host;
    return bound(this.#putHost, repo, keyText(key), address, port, root, fallback, hostAppsText(host));
  }
}

function bound(statement: StatementSync, ...values: (string | number | null)[]): () => void {
  return () => void statement.run(...values);
}

function refusedText({ refused }: DesiredRecord): string | null {
  return refused === null ? null : JSON.stringify(refused);
}
