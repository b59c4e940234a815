import type { IncomingMessage } from "node:http";
import type { FastifyRequest } from "fastify";
import { z } from "zod";
import { FssyncError } from "../../model/errors.ts";
import type { RepoController } from "../../reconcile/repo-controller.ts";
import type { ApiServer } from "../api-server.ts";
import { FailedLogins } from "../auth/failed-logins.ts";
import { noteCall } from "../auth/note-call.ts";
import { HttpProblem, Problem } from "../problem.ts";
import { deskOf, type PublicServerOptions } from "../site.ts";
import { Bodies, LARGEST_BODY } from "./bodies.ts";
import { readMessage, whyNot, type Message } from "./message.ts";
import { proofsOf } from "./proofs.ts";
import { believedBy, SENDERS, type Sender } from "./senders.ts";
import { isShown, mayBeSigned, reposBySecret, verifiedRepos } from "./verified.ts";

const HookResult = z
  .enum(["accepted", "ignored"])
  .describe("`accepted`: Git is looked at; `ignored`: nothing is done.");
const WHY = "Why nothing is done.";
const HookAnswer = z
  .object({
    result: HookResult,
    why: z.string().optional().describe(WHY),
    repos: z
      .array(z.object({ repo: z.string(), result: HookResult, why: z.string().optional().describe(WHY) }))
      .describe("The repos of which a secret verifies the webhook."),
  })
  .meta({ id: "HookAnswer", description: "What a webhook brought about." });
type HookAnswer = z.infer<typeof HookAnswer>;

/** Bytes for us until it is known who sent them; a form has it in `payload`. */
const Payload = z
  .unknown()
  .meta({ id: "HookPayload", description: "A push; nothing counts but `ref`, and any push is meant without it." });

/** Webhooks: who knows a repo's secret may say that its branch moved, and nothing else. */
export function hookRoutes(server: ApiServer, options: PublicServerOptions): void {
  const shared = { ...options, bodies: new Bodies(options), failures: new FailedLogins(options) };
  // A scope of its own: here, and nowhere else, a body is bytes until it is known who sent it.
  void server.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser("*", (request: FastifyRequest, payload: IncomingMessage) =>
      shared.bodies.read(request, payload),
    );
    for (const sender of Object.keys(SENDERS) as Sender[]) hookRoute(scope, { ...shared, sender });
  });
}

interface HookOptions extends PublicServerOptions {
  readonly sender: Sender;
  readonly bodies: Bodies;
  readonly failures: FailedLogins;
}

function hookRoute(server: ApiServer, { site, clock, sender, bodies, failures }: HookOptions): void {
  const proofs = ({ headers }: FastifyRequest) => proofsOf(sender, headers, clock.now());
  const known = () => reposBySecret(deskOf(site).controller.running);
  /** The same for all: which repos there are, and which of them have a secret, is nobody's business. */
  const notKnown = async (request: FastifyRequest) => {
    await server.takeTurn(request, "strangers");
    // It may be one that is known as soon as a repo has been started anew.
    if (deskOf(site).controller.awaited.size > 0) throw new FssyncError("RepoStarting", "a repo is being started");
    failures.note(request, { webhook: sender });
    const headers = { "www-authenticate": 'Webhook realm="fssync"' };
    return new HttpProblem(401, "no token and no signature that is known here", { headers });
  };
  server.post(
    `/hooks/${sender}`,
    {
      config: { needs: "open" },
      bodyLimit: LARGEST_BODY,
      onRequest: async (request, reply) => {
        const [shown, secrets] = [proofs(request), await known()];
        if (isShown(shown, secrets)) bodies.admitKnown(request, reply);
        else if (mayBeSigned(shown, secrets)) await bodies.admitStranger(request, reply);
        else throw await notKnown(request);
      },
      schema: {
        operationId: `${sender}Hook`,
        summary: `Takes a webhook of ${SENDERS[sender].name}: a push to the branch is looked at now`,
        tags: ["hooks"],
        description: `A line of the repo's Secret git.webhook proves it, in one of ${believedBy(sender)}.`,
        consumes: ["application/json", "application/x-www-form-urlencoded"],
        body: Payload,
        response: {
          200: HookAnswer.describe("Nothing is done, and why."),
          202: HookAnswer.describe("Git is looked at."),
          401: Problem,
          429: Problem,
        },
      },
    },
    async (request, reply) => {
      const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
      const repos = await verifiedRepos(proofs(request), await known(), body);
      if (repos.length === 0) throw await notKnown(request);
      // Whoever knows no secret of these repos takes no turn of whoever does.
      await server.takeTurn(request, "hooks", `webhooks of ${repos.map(({ repo }) => repo).join(" ")}`);
      request.caller = { name: `webhook of ${sender}` };
      const answer = take(request, readMessage(sender, request.headers, body), repos);
      return await reply.code(answer.result === "accepted" ? 202 : 200).send(answer);
    },
  );
}

/** Tells each repo, and nobody more than that the secret is known. */
function take(request: FastifyRequest, message: Message, controllers: readonly RepoController[]): HookAnswer {
  const repos = controllers.map((controller) => {
    const why = reasonToIgnore(message, controller);
    const result = why === null ? ("accepted" as const) : ("ignored" as const);
    controller.webhooks!.take(result);
    const facts = { repo: controller.repo, result, ...(why !== null && { why }) };
    if (result === "accepted") noteCall(request, "webhook", { ...facts, revision: controller.fleet.revision });
    else request.log.debug({ ...facts, who: request.caller.name, from: request.ip }, "webhook ignored");
    return facts;
  });
  if (repos.some(({ result }) => result === "accepted")) return { result: "accepted", repos };
  return { result: "ignored", why: [...new Set(repos.map(({ why }) => why))].join("; "), repos };
}

function reasonToIgnore(message: Message, { webhooks, suspension }: RepoController): string | null {
  if (!message.push) return message.why;
  return whyNot(message, webhooks!.branch) ?? (suspension.now.repo ? "the repo is suspended" : null);
}
