import { FssyncError } from "../../model/errors.ts";
import type { AppKey } from "../../model/app.ts";
import { worst } from "../../model/state.ts";
import { reportProblem } from "../../plan/status-report.ts";
import type { HostItem } from "../../reconcile/report-items.ts";
import type { RepoController } from "../../reconcile/repo-controller.ts";
import type { ApiServer } from "../api-server.ts";
import { NOT_MODIFIED } from "../files/schemas.ts";
import { NAMED_PROBLEMS } from "../schemas/problems.ts";
import { Status, StatusQuery } from "../schemas/status.ts";
import type { PublicServerOptions } from "../site.ts";
import { opened, statusText } from "../views/item-texts.ts";
import { reposUpToDate, versionOf } from "../views/repos.ts";
import { commaSeparated } from "../views/text-in-turns.ts";

export function statusRoute(server: ApiServer, { site }: PublicServerOptions): void {
  server.get(
    "/api/v1/status",
    {
      config: { needs: { verb: "list", resource: "confighosts" } },
      schema: {
        operationId: "getStatus",
        summary: "Apps and hosts of all repos, as `fssync status -o json` prints them",
        tags: ["status"],
        querystring: StatusQuery,
        response: { 200: Status, 304: NOT_MODIFIED, ...NAMED_PROBLEMS },
      },
    },
    async (request, reply) => {
      const { repo: ofRepo, app: named = [] } = request.query;
      const repos = await reposUpToDate(site, ofRepo);
      for (const name of named) requireApp(repos, name);
      const apps = named.length > 0 ? new Set(named as AppKey[]) : null;
      const heads = repos.map(headOf);
      return server.sharedAnswers.send(request, reply, {
        name: JSON.stringify(["status", request.query]),
        version: [versionOf(repos), ...heads].join("\n"),
        *pieces() {
          yield `{"repos":[`;
          for (const [at, repo] of repos.entries()) {
            yield `${at > 0 ? "," : ""}${heads[at]},"apps":[`;
            yield* appTexts(repo, apps);
            yield `],"hosts":[`;
            yield* apps ? hostTextsOf(repo, apps) : hostTexts(repo);
            yield "]}";
          }
          yield "]}";
        },
      });
    },
  );
}

/** What is said of a repo before its apps. */
function headOf({ repo, fleet, suspension, problems }: RepoController): string {
  return opened({
    name: repo,
    revision: fleet.revision,
    ...(suspension.now.repo ? { suspended: true } : {}),
    ...(problems.length > 0 ? { problems: problems.map(reportProblem) } : {}),
  });
}

function appTexts({ reports }: RepoController, apps: ReadonlySet<AppKey> | null): Iterable<string> {
  const listed = apps ? reports.apps.filter(({ key }) => apps.has(key)) : reports.apps;
  return commaSeparated(listed, ({ item }) => statusText(item));
}

function hostTexts({ reports }: RepoController): Iterable<string> {
  return commaSeparated(reports.hosts, ({ item }) => statusText(item));
}

/** Of each host these apps alone, and the state that they are in there. */
function hostTextsOf({ reports }: RepoController, apps: ReadonlySet<AppKey>): Iterable<string> {
  const listed = reports.hosts.values().flatMap(({ item }) => {
    const wanted = item.apps.filter(({ app }) => apps.has(app));
    return wanted.length > 0 ? [{ item, wanted }] : [];
  });
  return commaSeparated(listed, ({ item, wanted }) => narrowedText(item, wanted));
}

function narrowedText({ address, port }: HostItem, apps: HostItem["apps"]): string {
  return JSON.stringify({ address, port, state: worst(apps.map(({ state }) => state)), apps });
}

/** Throws UnknownName for an app that no repo knows. */
function requireApp(repos: readonly RepoController[], name: string): void {
  if (repos.some(({ reports }) => reports.has(name))) return;
  for (const { reports } of repos) reports.app(name);
  throw new FssyncError("UnknownName", `no app ${name}; this controller works on no repo`);
}
