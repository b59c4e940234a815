import { displayPath } from "../model/path.ts";
import type { AppOnHostReport, FileReport, HostReport, StatusReport } from "../plan/status-report.ts";
import type { ContentReports } from "../plan/verify-report.ts";
import { hostNames } from "./host-names.ts";
import type { Paint } from "./style.ts";
import { unifiedDiff } from "./unified-diff.ts";

/** Without -o wide, this many different diffs are told. */
const NAMED_FILES = 40;
const HEADER_LINES = 2;

/** The report as it may be printed: without contents, and with diffs made of them where they are wanted. */
export function withDiffs({ repos }: StatusReport, contents: ContentReports | null): StatusReport {
  const diffs = contents && new Diffs(contents);
  const file = (one: FileReport) => ({ ...withoutContents(one), ...diffs?.of(one) });
  const app = (one: AppOnHostReport) => ({ ...one, ...(one.files && { files: one.files.map(file) }) });
  const host = (one: HostReport) => ({ ...one, apps: one.apps.map(app) });
  return { repos: repos.map((repo) => ({ ...repo, hosts: repo.hosts.map(host) })) };
}

function withoutContents(file: FileReport): FileReport {
  const next: { -readonly [Field in keyof FileReport]: FileReport[Field] } = { ...file };
  delete next.contents;
  return next;
}

type Diff = Pick<FileReport, "diff" | "notShown">;

/** Makes each diff once, however many hosts have it. */
class Diffs {
  readonly #contents: ContentReports;
  readonly #made = new Map<string, Diff>();

  constructor(contents: ContentReports) {
    this.#contents = contents;
  }

  of(file: FileReport): Diff {
    const { path, contents } = file;
    if (contents === undefined) return { diff: null, notShown: whyNot(file) };
    const key = `${contents} ${path}`;
    const made = this.#made.get(key) ?? this.#make(path, contents);
    this.#made.set(key, made);
    return made;
  }

  #make(path: string, key: string): Diff {
    const contents = this.#contents[key];
    if (!contents) return { diff: null, notShown: "too many" };
    const git = Buffer.from(contents.git, "base64");
    const host = Buffer.from(contents.host, "base64");
    const diff = unifiedDiff({ path: path.slice(1), git, host });
    if (diff === null) return { diff, notShown: "not text" };
    return diff === "" ? { diff, notShown: "its content is the same by now" } : { diff };
  }
}

function whyNot({ change, secret }: FileReport): string {
  if (change === "missing") return "missing on the host";
  if (change === "type") return "something else stands there: a folder, a symlink, a device";
  if (change === "owner" || change === "mode") return `its ${change} differs, its content does not`;
  if (secret) return "secret, or not for others to read";
  const gone = change === "conflict" ? "missing, " : "";
  return `${gone}no plain file, too large, or one of too many on its host`;
}

interface Diffed {
  readonly file: FileReport;
  readonly app: AppOnHostReport;
  readonly hosts: HostReport[];
}

interface DiffOptions {
  readonly wide: boolean;
  readonly paint: Paint;
}

/** Every diff once, however many hosts have it, with their names; then the files that have none, and why. */
export function diffsText(hosts: readonly HostReport[], options: DiffOptions): string {
  const groups = groupsOf(hosts);
  const ordered = [...groups.filter(isShown), ...groups.filter((group) => !isShown(group))];
  const told = options.wide ? ordered : ordered.slice(0, NAMED_FILES);
  const hidden = ordered.length - told.length;
  const more = hidden > 0 ? `… and ${hidden} more; -o wide shows all\n` : "";
  return told.map((group) => diffText(group, options)).join("") + more;
}

function isShown({ file }: Diffed): boolean {
  return file.notShown === undefined;
}

function groupsOf(hosts: readonly HostReport[]): Diffed[] {
  const groups = new Map<string, Diffed>();
  for (const host of hosts) {
    for (const app of host.apps) {
      for (const file of app.files ?? []) {
        const key = JSON.stringify([app.app, file.path, file.change, file.diff, file.notShown]);
        const known = groups.get(key);
        if (known) known.hosts.push(host);
        else groups.set(key, { file, app, hosts: [host] });
      }
    }
  }
  return [...groups.values()];
}

function diffText({ file, app: { app }, hosts }: Diffed, { wide, paint }: DiffOptions): string {
  const title = `${paint("bold", displayPath(file.path))}  ${app}  on ${hostNames(hosts, wide)}`;
  if (file.notShown !== undefined) return `${title}: ${file.notShown}\n`;
  // What Git has by now is another version: the diff tells what was changed by hand.
  const against = file.change === "conflict" ? ": against what was synced last, Git has changed it since" : "";
  return `${title}${against}\n${painted(file.diff ?? "", paint)}\n`;
}

function painted(diff: string, paint: Paint): string {
  const lines = diff.split("\n").map((line, index) => {
    if (index < HEADER_LINES) return line;
    if (line.startsWith("@@")) return paint("cyan", line);
    if (line.startsWith("-")) return paint("red", line);
    return line.startsWith("+") ? paint("green", line) : line;
  });
  return lines.join("\n");
}
