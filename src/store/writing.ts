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
      `INSERT INTO host (repo, key, address, port, apps) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET address = excluded.address, port = excluded.port, apps = excluded.apps`,
    );
    this.#dropHost = database.prepare("DELETE FROM host WHERE repo = ? AND key = ?");
  }

  apply(repo: string, { repo: record, apps, hosts }: StatusChange): void {
    this.#knowRepo.run(repo);
    if (record !== undefined) this.#setRepo(repo, record);
    for (const [key, app] of apps ?? []) this.#setApp(repo, key, app);
    for (const [key, host] of hosts ?? []) this.#setHost(repo, key, host);
  }

  remove(repo: string): void {
    this.#dropRepo.run(repo);
  }

  #setRepo(repo: string, { revision, problems }: RepoRecord): void {
    this.#putRepo.run(revision, JSON.stringify(problems), repo);
  }

  #setApp(repo: string, key: AppKey, app: DesiredRecord | null): void {
    if (app === null) this.#dropApp.run(repo, keyText(key));
    else this.#putApp.run(repo, keyText(key), app.digest, app.revision, app.seenAt, refusedText(app));
  }

  #setHost(repo: string, key: string, host: HostRecord | null): void {
    if (host === null) this.#dropHost.run(repo, keyText(key));
    else this.#putHost.run(repo, keyText(key), host.address, host.port, hostAppsText(host));
  }
}

function refusedText({ refused }: DesiredRecord): string | null {
  return refused === null ? null : JSON.stringify(refused);
}
