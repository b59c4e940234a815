import type { FastifyRequest } from "fastify";
import type { Clock } from "../../ports/clock.ts";

/** How long an address is not spoken of again. */
const QUIET = 60_000;
/** Addresses that are remembered; of more than that the oldest is forgotten. */
const MOST = 1000;

interface Failures {
  readonly saidAt: number;
  /** Since it was said. */
  more: number;
}

/** Says which addresses show tokens that nobody has, each at most once a minute; never the token. */
export class FailedLogins {
  readonly #clock: Clock;
  readonly #addresses = new Map<string, Failures>();

  constructor({ clock }: { clock: Clock }) {
    this.#clock = clock;
  }

  /** `facts` are what else the line says. */
  note(request: FastifyRequest, facts: Readonly<Record<string, unknown>> = {}): void {
    const { ip, log } = request;
    const now = this.#clock.monotonic();
    const before = this.#addresses.get(ip);
    if (before && now - before.saidAt < QUIET) {
      before.more++;
      return;
    }
    this.#addresses.delete(ip);
    this.#addresses.set(ip, { saidAt: now, more: 0 });
    const oldest = this.#addresses.size > MOST && this.#addresses.keys().next();
    if (oldest && !oldest.done) this.#addresses.delete(oldest.value);
    log.warn({ ...facts, event: "LoginFailed", from: ip, unsaid: before?.more ?? 0 }, "a token that nobody has");
  }
}
