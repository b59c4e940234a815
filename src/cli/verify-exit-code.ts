import type { AppOnHostReport } from "../plan/status-report.ts";
import type { SyncResult } from "../reconcile/controller.ts";

/**
 * 0: every app that was asked for is on its hosts as Git has it. 2: somewhere it is not, because files were changed
 * or because the host lags; 4: hosts were not reached; 6: both. 1: nothing of that, but something could not be
 * looked at, or Git or the inventory did not answer. A host that is not reached counts for nothing but that.
 */
export function verifyExitCode({ report, problems }: Pick<SyncResult, "report" | "problems">): number {
  const apps = report.repos.flatMap(({ hosts }) => hosts.flatMap((host) => host.apps));
  const code = (apps.some(differs) ? 2 : 0) + (apps.some(isUnreachable) ? 4 : 0);
  if (code > 0) return code;
  const unclear =
    apps.some(({ notCompared }) => notCompared) || problems.some(({ reason }) => reason !== "InvalidHost");
  return unclear ? 1 : 0;
}

function differs(app: AppOnHostReport): boolean {
  if (app.files && app.files.length > 0) return true;
  if (app.notCompared) return app.lagSince !== undefined && !isUnreachable(app);
  return app.state !== "Synced";
}

function isUnreachable({ state }: AppOnHostReport): boolean {
  return state === "Unreachable";
}
