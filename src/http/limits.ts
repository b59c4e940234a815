import rateLimit, { normalizeIP } from "@fastify/rate-limit";
import type { FastifyRequest } from "fastify";
import type { ApiServer } from "./api-server.ts";
import { HttpProblem } from "./problem.ts";

/** What a caller may ask so often a minute, all routes of a class together. */
const A_MINUTE = {
  /** Asks Git, the CMDB or hosts, or reads much: sync, plan, history, modify. */
  costly: 120,
  /** The predecessor's /sync: a script asks for one app after the other, and questions to Git and the CMDB are shared. */
  apps: 600,
  /** Many pods start at once with one token; only so many archives are made at a time besides. */
  archives: 1200,
  /** Webhooks by one secret: a busy group has many pushes. */
  hooks: 600,
  /** Webhooks that no secret verifies, from one address. */
  strangers: 600,
} as const;
export type RateClass = keyof typeof A_MINUTE;

/** Tokens that nobody knows, from one address; after that nobody else is asked about one until the minute is over. */
const FAILED_LOGINS_A_MINUTE = 60;

declare module "fastify" {
  interface FastifyContextConfig {
    /** For a route that costs something: answers 429 to whoever asks too often. Reads from memory have none. */
    rate?: RateClass;
  }
  interface FastifyInstance {
    /** What to answer to a token that nobody here knows, when too many of them came from the address. */
    readonly tooManyGuesses: (request: FastifyRequest) => Promise<HttpProblem | null>;
    /** Counts the request, as of `who` or of its caller, and throws 429 when it is one too many. */
    readonly takeTurn: (request: FastifyRequest, rate: RateClass, who?: string) => Promise<void>;
  }
}

/** Before the hooks that find out who asks. Whoever knows a token gets in, whatever others of the same address show. */
export async function limitLogins(server: ApiServer): Promise<void> {
  await server.register(rateLimit, { global: false });
  const failures = server.createRateLimit({ max: FAILED_LOGINS_A_MINUTE, timeWindow: 60_000, keyGenerator: addressOf });
  server.decorate("tooManyGuesses", async (request) => {
    if (!logsIn(request)) return null;
    const found = await failures(request, { increment: false });
    if (found.isAllowed || found.remaining > 0) return null;
    return tooMany(`${FAILED_LOGINS_A_MINUTE} failed logins a minute from one address`, found.ttlInSeconds);
  });
  server.addHook("onResponse", async (request, reply) => {
    if (reply.statusCode === 401 && logsIn(request)) await failures(request);
  });
}

/** After the hooks that find out who asks. */
export function limitRates(server: ApiServer): void {
  const takers = new WeakMap<FastifyRequest, string>();
  const keyGenerator = (request: FastifyRequest) => takers.get(request) ?? whoOf(request);
  const limiters = new Map(
    Object.entries(A_MINUTE).map(([rate, max]) => [
      rate,
      server.createRateLimit({ max, timeWindow: 60_000, keyGenerator }),
    ]),
  );
  const takeTurn = async (request: FastifyRequest, rate: RateClass, who = whoOf(request)) => {
    takers.set(request, who);
    const found = await limiters.get(rate)!(request);
    if (!found.isAllowed && found.isExceeded)
      throw tooMany(`${A_MINUTE[rate]} requests a minute of this kind`, found.ttlInSeconds);
  };
  server.decorate("takeTurn", takeTurn);
  server.addHook("onRequest", async (request) => {
    const { rate } = request.routeOptions.config;
    if (rate !== undefined) await takeTurn(request, rate);
  });
}

function tooMany(limit: string, seconds: number): HttpProblem {
  const wait = String(Math.max(1, seconds));
  return new HttpProblem(429, `more than ${limit}; ask again in ${wait} s`, { headers: { "retry-after": wait } });
}

/** Callers without a name of their own are their address. */
export function whoOf(request: FastifyRequest): string {
  return isKnown(request) ? `caller ${request.caller.name}` : addressOf(request);
}

/** Whether somebody has shown who they are. */
export function isKnown({ caller }: FastifyRequest): boolean {
  return caller !== undefined && caller.name !== "anonymous";
}

/** Of IPv6 the network: one machine has many addresses there. */
export function addressOf({ ip }: FastifyRequest): string {
  return normalizeIP(ip);
}

function logsIn({ headers, routeOptions: { config } }: FastifyRequest): boolean {
  return headers.authorization !== undefined && config.needs !== undefined && config.needs !== "open";
}
