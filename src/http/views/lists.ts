import type { FastifyReply, FastifyRequest } from "fastify";
import type { RepoController } from "../../reconcile/repo-controller.ts";
import { placeOf, partOf } from "./paging.ts";
import { versionOf } from "./repos.ts";
import { commaSeparated } from "./text-in-turns.ts";

interface ListOptions<Item, Query> {
  readonly of: string;
  readonly query: Query;
  /** Sorted by name, with reports up to date. */
  readonly repos: readonly RepoController[];
  readonly entriesOf: (repo: RepoController) => readonly { readonly order: string; readonly item: Item }[];
  readonly matches: (item: Item) => boolean;
  readonly textOf: (item: Item) => string;
}

/** Answers with the part of a list that was asked for. */
export function sendList<Item, Query extends { limit: number; cursor?: string | undefined }>(
  request: FastifyRequest,
  reply: FastifyReply,
  options: ListOptions<Item, Query>,
): Promise<FastifyReply> {
  const { of, query, repos, entriesOf, matches, textOf } = options;
  const after = placeOf(of, query.cursor);
  const { limit } = query;
  return reply.server.sharedAnswers.send(request, reply, {
    name: JSON.stringify([of, query]),
    version: versionOf(repos),
    *pieces() {
      const listed = repos.map((repo) => ({ repo: repo.repo, entries: entriesOf(repo) }));
      const part = partOf(listed, { of, after, limit, matches: ({ item }) => matches(item) });
      yield `{"items":[`;
      yield* commaSeparated(part.entries, ({ item }) => textOf(item));
      yield part.next === undefined ? "]}" : `],"next":${JSON.stringify(part.next)}}`;
    },
  });
}
