import { setImmediate as nextTurn } from "node:timers/promises";
import type { RepoController } from "../../reconcile/repo-controller.ts";
import { isSignedWith, needsBody, showsSecret, type Proofs } from "./proofs.ts";

/** Bodies up to this size are hashed without a pause between two secrets. */
const QUICK = 64 * 1024;

type BySecret = ReadonlyMap<string, readonly RepoController[]>;

/** The repos by the secrets that sign their webhooks; several may have the same one. */
export async function reposBySecret(repos: readonly RepoController[]): Promise<BySecret> {
  const pairs = repos.map(async (repo) => {
    const secrets = (await repo.webhooks?.secrets()) ?? [];
    return secrets.map((secret) => ({ secret, repo }));
  });
  const groups = Map.groupBy((await Promise.all(pairs)).flat(), ({ secret }) => secret);
  return new Map([...groups].map(([secret, group]) => [secret, group.map(({ repo }) => repo)]));
}

/** Whether a secret is shown that is known here. */
export function isShown(proofs: Proofs, known: BySecret): boolean {
  return known.keys().some((secret) => showsSecret(proofs, secret));
}

/** Whether it is worth reading the body of somebody who shows no secret: it is signed. */
export function mayBeSigned(proofs: Proofs, known: BySecret): boolean {
  return known.size > 0 && needsBody(proofs);
}

/** The repos of which the sender knows a secret. */
export async function verifiedRepos(proofs: Proofs, known: BySecret, body: Buffer): Promise<readonly RepoController[]> {
  const found = new Set<RepoController>();
  for (const [secret, repos] of known) {
    if (showsSecret(proofs, secret) || isSignedWith(proofs, secret, body)) repos.forEach((repo) => found.add(repo));
    // Whoever sends large bodies without knowing a secret shall hold up nobody.
    if (body.length > QUICK) await nextTurn();
  }
  return [...found];
}
