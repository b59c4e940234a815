import { systemClock } from "../clock/system-clock.ts";
import { SecretsFolder } from "../config/secrets-folder.ts";
import { EitherAccess } from "../http/auth/either-access.ts";
import { refuseOpenAddress } from "../http/auth/loopback.ts";
import { TokenAccess } from "../http/auth/token-access.ts";
import { FssyncError } from "../model/errors.ts";
import type { Access } from "../ports/access.ts";
import type { InKubernetes, ServerOptions } from "./globals.ts";
import type { Context } from "./program.ts";

/** Throws InvalidSpec, before anything is begun, when the API would be open, or a flag would have no effect. */
export function refuseContradictions(
  { listen }: Pick<Context, "listen">,
  { kubernetes, kubernetesAuth, tokensSecret, compat, compatAnonymous }: InKubernetes & ServerOptions,
): void {
  if (kubernetesAuth && !kubernetes)
    throw new FssyncError("InvalidSpec", "--kubernetes-auth is of use with --kubernetes only");
  if (compatAnonymous && !compat)
    throw new FssyncError("InvalidSpec", "--compat-anonymous is of use with --compat only");
  if (tokensSecret === undefined && !kubernetesAuth) refuseOpenAddress(listen);
}

/** Who may use the API; null where nobody is asked, which is on loopback alone. Throws SecretInvalid. */
export async function openAccess(
  { secretsDir, log }: Context,
  { tokensSecret }: Pick<ServerOptions, "tokensSecret">,
  stack: AsyncDisposableStack,
  byKubernetes: Access | null,
): Promise<Access | null> {
  if (tokensSecret === undefined) return byKubernetes;
  const secrets = new SecretsFolder({ folder: secretsDir });
  const byTokens = stack.use(await TokenAccess.open({ secrets, name: tokensSecret, clock: systemClock, log }));
  return byKubernetes === null ? byTokens : new EitherAccess([byTokens, byKubernetes]);
}

/**
 * Where other pods reach what was told to listen `listenOn` and does so at `address`: at the pod's own address when that
 * is all of them, which the downward API gives as POD_IP. Undefined when it is not known.
 */
export function apiOf(listenOn: string, address: string): string | undefined {
  const url = new URL(address);
  if (!/^(\[::\]|0\.0\.0\.0)?:\d+$/.test(listenOn)) return url.origin;
  const podIp = process.env["POD_IP"];
  if (!podIp) return undefined;
  url.hostname = podIp.includes(":") ? `[${podIp}]` : podIp;
  return url.origin;
}
