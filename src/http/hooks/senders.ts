/** Who sends webhooks here: the last word of the path. */
export type Sender = "gitlab" | "github" | "gitea" | "generic";

/** A push; a push if it names a ref; a removal, whose ref is the bare name of a branch. */
export type Meaning = "push" | "pushIfRef" | "removal";

/** How a sender shows that it knows the secret, and how it says what happened. Names of headers are in lower case. */
export interface Habits {
  /** What people call it. */
  readonly name: string;
  /** The header that holds the secret itself. */
  readonly token?: string;
  /** Whether `Authorization: Bearer` may hold the secret itself. */
  readonly bearer?: true;
  /** Headers that hold HMAC-SHA256 of the body in hex, behind a prefix. */
  readonly signatures?: Readonly<Record<string, string>>;
  /** Whether it signs as https://www.standardwebhooks.com says. */
  readonly standard?: true;
  /** Headers that name the event; the first one that is there counts. Without any it is a push. */
  readonly events: readonly string[];
  /** What events say that may move a branch; of any other nothing is looked at. */
  readonly meanings: ReadonlyMap<string, Meaning>;
}

const HUB = { "x-hub-signature-256": "sha256=" };

const PUSHES = new Map<string, Meaning>([
  ["push", "push"],
  ["delete", "removal"],
]);

export const SENDERS: Readonly<Record<Sender, Habits>> = {
  gitlab: {
    name: "GitLab",
    token: "x-gitlab-token",
    standard: true,
    events: ["x-gitlab-event"],
    meanings: new Map([
      ["Push Hook", "push"],
      ["System Hook", "pushIfRef"],
    ]),
  },
  github: { name: "GitHub", signatures: HUB, events: ["x-github-event"], meanings: PUSHES },
  gitea: {
    name: "Gitea, Forgejo and Gogs",
    signatures: { "x-gitea-signature": "", "x-forgejo-signature": "", "x-gogs-signature": "", ...HUB },
    events: ["x-gitea-event", "x-forgejo-event", "x-gogs-event", "x-github-event"],
    meanings: PUSHES,
  },
  generic: { name: "anything else", bearer: true, standard: true, signatures: HUB, events: [], meanings: new Map() },
};

/** The headers that prove one sender's webhooks, for people. */
export function believedBy(sender: Sender): string {
  const { token, bearer, signatures = {}, standard } = SENDERS[sender];
  const headers = [token, bearer && "authorization", ...Object.keys(signatures), standard && "webhook-signature"];
  return headers.filter((header) => header !== undefined).join(", ");
}
