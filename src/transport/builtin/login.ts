import type { AuthHandlerMiddleware, IdentityCallback, ParsedKey } from "ssh2";
import type { Host } from "../../model/host.ts";
import type { Identity } from "./identity.ts";
import { describeKey, shownKey } from "./public-key.ts";
import { ssh2 } from "./ssh2.ts";

/** An agent that signs with keys which it does not give away. */
export interface Agent {
  /** Path of its socket. */
  readonly socket: string;
  readonly keys: readonly ParsedKey[];
}

/** What there is to log in with. */
export interface Login {
  readonly identities: readonly Identity[];
  readonly agent?: Agent | undefined;
  /** What else there is and cannot be used, for people. */
  readonly unusable: readonly string[];
}

/** One try to log in on one host. */
export interface Attempt {
  readonly handler: AuthHandlerMiddleware;
  /** What was tried without success, for people; never a secret. */
  denied(): string;
}

/** The agent's keys come first, those that are also files before others; then the files that the agent has not. */
export function attemptLogin({ identities, agent, unusable }: Login, { user }: Host): Attempt {
  const files = identities.filter(({ public: { base64 } }) => !agent?.keys.some((key) => wireOf(key) === base64));
  let step = agent && agent.keys.length > 0 ? -1 : 0;
  let allowed: readonly string[] = [];
  const tried: string[] = [];
  return {
    handler(methods, _partial, next) {
      // Nothing at the first call: nobody asked the host what it allows.
      allowed = methods ?? allowed;
      const identity = files[step];
      if (agent && step === -1) {
        tried.push(...agent.keys.map((key) => `${describeKey(shownKey(key.getPublicSSH()))} (agent)`));
        next({ type: "agent", username: user, agent: new KnownAgent(agent) });
      } else if (identity && isWelcome(allowed)) {
        tried.push(describeKey(identity.public));
        next({ type: "publickey", username: user, key: identity.key });
      } else {
        // What ends it; the types do not know.
        next(false as never);
      }
      step++;
    },
    denied() {
      const said = `Permission denied (${allowed.join(",") || "publickey"})`;
      const all = [tried.length > 0 ? `tried ${tried.join(", ")}` : "there is no key to try", ...unusable];
      return `${said}; ${all.join("; ")}`;
    },
  };
}

/** A host that takes no keys at all need not see them. */
function isWelcome(allowed: readonly string[]): boolean {
  return allowed.length === 0 || allowed.includes("publickey");
}

/** Signs as the agent does; what keys it has was asked for before. */
class KnownAgent extends ssh2.OpenSSHAgent {
  readonly #keys: readonly ParsedKey[];

  constructor({ socket, keys }: Agent) {
    super(socket);
    this.#keys = keys;
  }

  override getIdentities(done: IdentityCallback<ParsedKey>): void {
    done(undefined, [...this.#keys]);
  }
}

function wireOf(key: ParsedKey): string {
  return key.getPublicSSH().toString("base64");
}
