import { X509Certificate } from "node:crypto";
import type { PeerCertificate } from "node:tls";
import { Agent, buildConnector, type Dispatcher } from "undici";
import type { Clock } from "../../ports/clock.ts";

const CONNECT_TIMEOUT = 2000;
/** Shorter than the leader keeps an idle connection, so that no request meets one that closes. */
const KEEP_ALIVE = 10_000;
/** How often it is looked whether the process that is being asked still leads. */
const LOOK = 2000;

/** It was not even asked. */
export class NotReached extends Error {}

export interface LeaderLinkOptions {
  /** `http://10.1.2.3:8080`; undefined while nobody else leads, or nobody knows where. */
  readonly leaderApi: () => string | undefined;
  /** The certificate that this process itself serves with, as PEM; every process of the Deployment has the same. */
  readonly certificate: () => string | undefined;
  readonly clock: Clock;
}

interface Link {
  readonly url: string;
  readonly certificate: string | undefined;
  readonly agent: Agent;
  /** Aborts when the process at its end does not lead any more: it may be cut off, and never say so. */
  readonly over: AbortController;
  underWay: number;
  /** Another process led at the last look: this one may still be saying how its requests ended. */
  doubted: boolean;
}

/** The connections to the process that leads, whichever that is. */
export class LeaderLink implements AsyncDisposable {
  readonly #options: LeaderLinkOptions;
  readonly #links = new Set<Link>();
  #timer: Disposable | undefined;

  constructor(options: LeaderLinkOptions) {
    this.#options = options;
  }

  /** Nothing is sent twice. Rejects with NotReached, or when it went away or leads no more; a body ends with an error then. */
  async ask(
    url: string,
    request: Omit<Dispatcher.RequestOptions, "origin" | "signal">,
    signal: AbortSignal,
  ): Promise<Dispatcher.ResponseData> {
    const link = this.#linkTo(url);
    const answer = link.agent.request({ ...request, origin: url, signal: AbortSignal.any([signal, link.over.signal]) });
    link.underWay++;
    this.#timer ??= this.#lookLater();
    const ended = () => void link.underWay--;
    answer.then(({ body }) => body.once("close", ended), ended);
    return await answer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#timer?.[Symbol.dispose]();
    await Promise.all([...this.#links].map(({ agent }) => agent.destroy()));
  }

  #linkTo(url: string): Link {
    const certificate = this.#options.certificate();
    for (const link of this.#links) if (link.url === url && link.certificate === certificate) return link;
    const agent = new Agent({
      connect: connector(certificate),
      keepAliveTimeout: KEEP_ALIVE,
      // A sync is silent for as long as its slowest host, and a watch for ever.
      headersTimeout: 0,
      bodyTimeout: 0,
      allowH2: false,
    });
    const link = { url, certificate, agent, over: new AbortController(), underWay: 0, doubted: false };
    this.#links.add(link);
    return link;
  }

  #lookLater(): Disposable {
    return this.#options.clock.after(LOOK, () => {
      for (const link of this.#links) this.#look(link);
      this.#timer = this.#links.size > 0 ? this.#lookLater() : undefined;
    });
  }

  #look(link: Link): void {
    const isOld = link.certificate !== this.#options.certificate() && link.underWay === 0;
    const leadsNoMore = link.url !== this.#options.leaderApi();
    if (!isOld && !(leadsNoMore && link.doubted)) {
      link.doubted = leadsNoMore;
      return;
    }
    this.#links.delete(link);
    link.over.abort(new Error("it does not lead any more"));
    void link.agent.destroy();
  }
}

function connector(certificate: string | undefined): buildConnector.connector {
  const connect = buildConnector({
    timeout: CONNECT_TIMEOUT,
    ...(certificate !== undefined && trustOnly(certificate)),
  });
  return (options, callback) =>
    connect(options, (...[error, socket]) => {
      if (error) callback(new NotReached(error.message, { cause: error }), null);
      else callback(null, socket);
    });
}

/** Pods have no names that a certificate could tell: the leader must show the very one that this process has. */
function trustOnly(certificate: string) {
  const own = new X509Certificate(certificate);
  return {
    ca: own.toString(),
    allowPartialTrustChain: true,
    checkServerIdentity: (_: string, { fingerprint256 }: PeerCertificate) =>
      fingerprint256 === own.fingerprint256 ? undefined : new Error("the leader shows another certificate than ours"),
  };
}
