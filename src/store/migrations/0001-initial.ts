/**
 * A host's apps are one JSON value: the record is replaced as a whole, which is then one statement, and
 * loading 10,000 hosts of 10 apps takes half the time and memory of a row per app. For people with
 * sqlite3 the view app_on_host shows a row per app. Times are milliseconds since the epoch.
 */
export const initial = `
CREATE TABLE repo (
  name     TEXT PRIMARY KEY,
  revision TEXT,
  problems TEXT NOT NULL DEFAULT '[]'
) STRICT;

CREATE TABLE app (
  repo     TEXT NOT NULL REFERENCES repo (name) ON DELETE CASCADE,
  key      TEXT NOT NULL,
  digest   TEXT NOT NULL,
  revision TEXT NOT NULL,
  seen_at  REAL NOT NULL,
  refused  TEXT,
  PRIMARY KEY (repo, key)
) STRICT;

CREATE TABLE host (
  repo    TEXT NOT NULL REFERENCES repo (name) ON DELETE CASCADE,
  key     TEXT NOT NULL,
  address TEXT NOT NULL,
  port    INTEGER NOT NULL,
  root    TEXT NOT NULL,
  apps    TEXT NOT NULL,
  PRIMARY KEY (repo, key)
) STRICT;

CREATE VIEW app_on_host AS
SELECT host.repo,
       host.key AS host,
       entry.key AS app,
       entry.value ->> 'digest' AS digest,
       entry.value ->> 'revision' AS revision,
       datetime((entry.value ->> 'syncedAt') / 1000, 'unixepoch') AS synced_at,
       datetime((entry.value ->> 'lagSince') / 1000, 'unixepoch') AS lag_since,
       entry.value ->> '$.failure.state' AS state,
       entry.value ->> '$.failure.reason' AS reason,
       entry.value ->> '$.failure.message' AS message,
       entry.value ->> '$.failure.attempts' AS attempts
FROM host, json_each(host.apps) AS entry;
`;
