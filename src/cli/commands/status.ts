import { access } from "node:fs/promises";
import type { AppKey } from "../../model/app.ts";
import { FssyncError } from "../../model/errors.ts";
import { reportRepo, type ReportOptions, type StatusReport } from "../../plan/status-report.ts";
import { suspendedBy } from "../../reconcile/stored-suspender.ts";
import { Suspension } from "../../reconcile/suspension.ts";
import type { ApiOptions } from "../api-options.ts";
import { apiClient } from "../api.ts";
import type { StatusReader } from "../builders.ts";
import { print } from "../print.ts";
import type { InKubernetes } from "../globals.ts";
import type { Context } from "../program.ts";
import { statusTable } from "../status-table.ts";

interface Status {
  readonly report: StatusReport;
  /** What is said for people when there is no repo in it. */
  readonly nothing: string;
}

/** Prints the status store as it is, or what a controller knows; asks neither Git nor hosts. */
export async function statusCommand(
  context: Context,
  apps: string[],
  options: InKubernetes & ApiOptions,
): Promise<number> {
  const { stdout, output } = context;
  const { server } = options;
  const { report, nothing } =
    server === undefined
      ? await storedStatus(context, apps, options)
      : await askedStatus(context, apps, server, options);
  print(stdout, output, report, (wide) => {
    if (report.repos.length === 0) return `${nothing}\n`;
    return statusTable(report, { terminal: stdout.isTTY === true, columns: stdout.columns, wide });
  });
  return 0;
}

async function askedStatus({ signal }: Context, apps: string[], server: string, options: ApiOptions): Promise<Status> {
  await using client = await apiClient(server, options);
  const query = apps.map((app) => `app=${encodeURIComponent(app)}`).join("&");
  const report = await client.get<StatusReport>(`/api/v1/status${query && `?${query}`}`, signal);
  return { report, nothing: `The controller at ${client.server} works on no repo.` };
}

async function storedStatus(context: Context, apps: string[], options: InKubernetes): Promise<Status> {
  const { build, log, dataDir } = context;
  await using store = await build.statusReader({ ...context, ...options }, log);
  const configured = options.kubernetes ? new Set<string>() : await suspendedRepos(context);
  const wanted = apps.length > 0 ? new Set(apps as AppKey[]) : undefined;
  const repos = await Promise.all(
    (await store.repos()).map(async (name) =>
      reportRepo(name, await store.load(name), {
        apps: wanted,
        suspendedMessage: messagesOf(name, store, configured.has(name)),
        suspended: (app, host) => configured.has(name) || store.suspended(name, app, host),
        repoSuspended: configured.has(name) || store.repoSuspended(name),
      }),
    ),
  );
  for (const app of wanted ?? []) {
    const known = repos.some((repo) => repo.apps.some((one) => `${one.mod}/${one.env}/${one.app}` === app));
    if (!known) throw new FssyncError("UnknownName", `no app ${app} in the status store (expected mod/env/app)`);
  }
  const nothing = store.where
    ? `There is no ConfigRepo in ${store.where}.`
    : `Nothing in ${dataDir} yet: start \`fssync run\` or \`fssync sync\` first.`;
  return { report: { repos }, nothing };
}

/** Who stopped work, as the controller would say it. Asked once the repo is loaded. */
function messagesOf(repo: string, store: StatusReader, configured: boolean): ReportOptions["suspendedMessage"] {
  const suspension = new Suspension(false, suspendedBy(repo, store.suspensions?.(repo) ?? [], configured));
  return (app, host) => suspension.message(app, host);
}

/** What the configuration suspends, besides what the store says; `status` works without one too. */
async function suspendedRepos({ file, allowFileUrls, log }: Context): Promise<ReadonlySet<string>> {
  try {
    await access(file);
    const { loadConfigRepos } = await import("../../config/load.ts");
    const configs = await loadConfigRepos(file, { allowFileUrls });
    return new Set(configs.filter(({ spec }) => spec.suspend).map(({ metadata }) => metadata.name));
  } catch (err) {
    log.debug({ err }, "status without the configuration");
    return new Set();
  }
}
