/**
 * Where people have stopped work: `kind` is repo, app or host, and `key` what the repo calls it, empty for the
 * repo itself. It need not be in Git or the inventory at the moment. Times are milliseconds since the epoch.
 */
export const suspension = `
CREATE TABLE suspension (
  repo   TEXT NOT NULL REFERENCES repo (name) ON DELETE CASCADE,
  kind   TEXT NOT NULL CHECK (kind IN ('repo', 'app', 'host')),
  key    TEXT NOT NULL,
  since  REAL NOT NULL,
  who    TEXT NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (repo, kind, key)
) STRICT;
`;
