import { createHash } from "node:crypto";
import type { Logger } from "pino";
import { FssyncError } from "../model/errors.ts";
import type { Access, Action, Caller } from "../ports/access.ts";
import type { Clock } from "../ports/clock.ts";
import type { KubeClient } from "./client.ts";
import { GROUP } from "./objects.ts";
import { RecentAnswers } from "./recent-answers.ts";
import { Trouble } from "./trouble.ts";

/** How long an answer holds, also a denial: a revoked token or Role is out after that. */
const HOLDS = 10_000;
/** Answers that are kept, of each kind. */
const MOST_KEPT = 10_000;
/** Reviews at a time; more at once is somebody's flood, not people. */
const MOST_AT_ONCE = 64;
const PATIENCE = 5000;

export interface AccessReviewOptions {
  /** For reviews alone: whoever floods them shall not keep the controller from its own requests. */
  readonly client: KubeClient;
  /** The namespace that is followed; null for all of them, where a repo is called `namespace/name`. */
  readonly namespace: string | null;
  readonly clock: Clock;
  readonly log: Logger;
}

/** TokenReview's account of somebody. */
interface UserInfo {
  readonly username?: string;
  readonly uid?: string;
  readonly groups?: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

interface Reviewed extends Caller {
  readonly user: UserInfo;
  /** The digest of the token. */
  readonly digest: string;
}

/**
 * Who may, as Kubernetes says: TokenReview for who it is, SubjectAccessReview on the resources of fssync.dev for what
 * they may. Answers hold for ten seconds and no longer: without the API server nobody gets in.
 */
export class AccessReview implements Access {
  readonly #options: AccessReviewOptions;
  /** By the digest of the token. */
  readonly #callers: RecentAnswers<Reviewed | undefined>;
  /** By the digest of the token and the action. */
  readonly #permissions: RecentAnswers<boolean>;
  readonly #trouble: Trouble;
  #underWay = 0;

  constructor(options: AccessReviewOptions) {
    this.#options = options;
    this.#trouble = new Trouble({ ...options, base: 0, max: 0 });
    const limits = { clock: options.clock, holds: HOLDS, most: MOST_KEPT };
    this.#callers = new RecentAnswers(limits);
    this.#permissions = new RecentAnswers(limits);
  }

  async authenticate(token: string, { asks } = { asks: true }): Promise<Caller | undefined> {
    const digest = createHash("sha256").update(token).digest("base64");
    if (!asks) return await this.#callers.held(digest);
    return await this.#callers.get(digest, () => this.#reviewToken(token, digest));
  }

  async may(caller: Caller, { verb, resource, subresource, repo }: Action): Promise<boolean> {
    const { user, digest } = caller as Partial<Reviewed>;
    if (!user || digest === undefined) return false;
    const resourceAttributes = { group: GROUP, verb, resource, subresource, ...this.#place(resource, repo) };
    const key = `${digest} ${JSON.stringify(resourceAttributes)}`;
    return await this.#permissions.get(key, () => this.#reviewAccess(user, resourceAttributes));
  }

  /** Where the objects are that it is about; only a ConfigRepo has the name that a request knows. */
  #place(resource: Action["resource"], repo: string | undefined): { namespace: string; name?: string } {
    const { namespace } = this.#options;
    const [home, name] = namespace === null ? namesOf(repo) : [namespace, repo];
    return { namespace: home, ...(resource === "configrepos" && name !== undefined && { name }) };
  }

  async #reviewToken(token: string, digest: string): Promise<Reviewed | undefined> {
    // No audiences: those of the API server itself, so that a token for somebody else is none here.
    const status = await this.#review("authentication.k8s.io/v1", "TokenReview", { token });
    const { authenticated, user } = status as { authenticated?: boolean; user?: UserInfo };
    if (authenticated !== true || !user?.username) return undefined;
    return { name: user.username, groups: user.groups ?? [], user, digest };
  }

  async #reviewAccess({ username, uid, groups, extra }: UserInfo, resourceAttributes: object): Promise<boolean> {
    const spec = { user: username, uid, groups, extra, resourceAttributes };
    const status = await this.#review("authorization.k8s.io/v1", "SubjectAccessReview", spec);
    const { allowed, denied } = status as { allowed?: boolean; denied?: boolean };
    return allowed === true && denied !== true;
  }

  /** The status of a review. */
  async #review(apiVersion: string, kind: string, spec: object): Promise<object> {
    if (this.#underWay >= MOST_AT_ONCE)
      throw new FssyncError("KubernetesUnavailable", `more than ${MOST_AT_ONCE} reviews of callers are under way`);
    this.#underWay++;
    try {
      const body = { apiVersion, kind, spec };
      const path = `/apis/${apiVersion}/${kind.toLowerCase()}s`;
      const limits = { method: "POST", timeout: PATIENCE } as const;
      const { status = {} } = (await this.#options.client.json(path, { ...limits, body })) as { status?: object };
      this.#trouble.over();
      return status;
    } catch (error) {
      this.#trouble.failed(error);
      throw error;
    } finally {
      this.#underWay--;
    }
  }
}

/** Where a repo is that is called `namespace/name`; all namespaces when none, or none that could be, is named. */
function namesOf(repo: string | undefined): [namespace: string, name?: string] {
  const slash = repo?.indexOf("/") ?? -1;
  return slash <= 0 ? [""] : [repo!.slice(0, slash), repo!.slice(slash + 1)];
}
