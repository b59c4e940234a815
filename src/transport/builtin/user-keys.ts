import { access, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { ParsedKey } from "ssh2";
import type { Clock } from "../../ports/clock.ts";
import { foreignType, isEncrypted, parseIdentity, type Identity } from "./identity.ts";
import type { Agent, Login } from "./login.ts";
import { ssh2 } from "./ssh2.ts";

/** Names in `~/.ssh` that OpenSSH tries, in its order. */
const DEFAULT_NAMES = ["id_rsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk"];

/** Milliseconds in which an agent tells what keys it has. */
const AGENT_TIMEOUT = 2000;

export interface UserKeysOptions {
  /** The user's home: the account's, as OpenSSH has it, whatever `$HOME` says. */
  readonly home: string;
  /** `$SSH_AUTH_SOCK`. */
  readonly agentSocket: string | undefined;
  readonly clock: Clock;
}

export interface UserKeys extends Login {
  /** What only OpenSSH can log in with. */
  readonly onlyByOpenSsh: string | undefined;
}

/** What a user logs in with who gave no Secret: the agent and the keys of `~/.ssh`, as OpenSSH finds them. */
export async function userKeys({ home, agentSocket, clock }: UserKeysOptions): Promise<UserKeys> {
  const agent = agentSocket ? await askAgent(agentSocket, clock) : undefined;
  const found = await Promise.all(DEFAULT_NAMES.map((name) => defaultKey(join(home, ".ssh", name), `~/.ssh/${name}`)));
  const identities = found.flatMap(({ identity }) => identity ?? []);
  const unusable = found.flatMap((each) => each.unusable ?? []);
  if (agent && !Array.isArray(agent)) unusable.push(agent);
  const keys = Array.isArray(agent) ? preferred(agent, identities) : [];
  const certified = found.find((each) => each.certificate)?.certificate;
  const foreign = found.find((each) => each.foreign)?.foreign;
  const alone = identities.length + keys.length === 0;
  return {
    identities,
    unusable,
    ...(agentSocket && keys.length > 0 && { agent: { socket: agentSocket, keys } satisfies Agent }),
    onlyByOpenSsh: certified ?? (alone ? foreign : undefined),
  };
}

interface Found {
  readonly identity?: Identity;
  readonly unusable?: string;
  readonly certificate?: string;
  readonly foreign?: string;
}

async function defaultKey(file: string, name: string): Promise<Found> {
  const text = await readFile(file, "utf8").catch(() => undefined);
  if (text === undefined) return {};
  const certificate = await access(`${file}-cert.pub`).then(
    () => `${name}-cert.pub is a certificate`,
    () => undefined,
  );
  if (certificate) return { certificate };
  const type = foreignType(text);
  if (type) return { foreign: `${name} is of type ${type}`, unusable: `${name} (${type}) was not tried` };
  if (isEncrypted(text)) return { unusable: `${name} has a passphrase and was not tried` };
  try {
    return { identity: await parseIdentity({ text, name }) };
  } catch {
    return { unusable: `${name} is no key that can be used` };
  }
}

/** Its keys, or why there are none. */
async function askAgent(socket: string, clock: Clock): Promise<ParsedKey[] | string> {
  const answer = Promise.withResolvers<ParsedKey[] | string>();
  using _ = clock.after(AGENT_TIMEOUT, () => answer.resolve("the agent of SSH_AUTH_SOCK does not answer"));
  const agent = new ssh2.OpenSSHAgent(socket);
  agent.getIdentities((error, keys = []) => {
    const own = keys.map((key) => ("pubKey" in key ? key.pubKey : key)).filter((key) => "getPublicSSH" in key);
    answer.resolve(error ? `the agent of SSH_AUTH_SOCK: ${error.message}` : own);
  });
  return await answer.promise;
}

/** Those that the user also has as files first. */
function preferred(keys: readonly ParsedKey[], identities: readonly Identity[]): ParsedKey[] {
  const files = new Set(identities.map((each) => each.public.base64));
  const isFile = (key: ParsedKey) => files.has(key.getPublicSSH().toString("base64"));
  return [...keys.filter(isFile), ...keys.filter((key) => !isFile(key))];
}
