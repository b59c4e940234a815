import { access } from "node:fs/promises";
import type { AppKey } from "../../model/app.ts";
import { FssyncError } from "../../model/errors.ts";
import { reportRepo, type StatusReport } from "../../plan/status-report.ts";
import { print } from "../print.ts";
import type { InKubernetes } from "../globals.ts";
import type { Context } from "../program.ts";
import { statusTable } from "../status-table.ts";

/** Prints the status store as it is; asks neither Git nor hosts. */
export async function statusCommand(context: Context, apps: string[], options: InKubernetes): Promise<number> {
  const { build, log, stdout } = context;
  await using store = await build.statusReader({ ...context, ...options }, log);
  const configured = options.kubernetes ? new Set<string>() : await suspendedRepos(context);
  const wanted = apps.length > 0 ? new Set(apps as AppKey[]) : undefined;
  const repos = await Promise.all(
    (await store.repos()).map(async (name) =>
      reportRepo(name, await store.load(name), {
        apps: wanted,
        suspended: (app, host) => configured.has(name) || store.suspended(name, app, host),
        repoSuspended: configured.has(name) || store.repoSuspended(name),
      }),
    ),
  );
  const report: StatusReport = { repos };
  for (const app of wanted ?? []) {
    const known = repos.some((repo) => repo.apps.some((one) => `${one.mod}/${one.env}/${one.app}` === app));
    if (!known) throw new FssyncError("UnknownName", `no app ${app} in the status store (expected mod/env/app)`);
  }
  print(stdout, context.output, report, (wide) => {
    if (repos.length === 0 && store.where) return `There is no ConfigRepo in ${store.where}.\n`;
    if (repos.length === 0)
      return `Nothing in ${context.dataDir} yet: start \`fssync run\` or \`fssync sync\` first.\n`;
    return statusTable(report, { terminal: stdout.isTTY === true, columns: stdout.columns, wide });
  });
  return 0;
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
