import swagger from "@fastify/swagger";
import { jsonSchemaTransform, jsonSchemaTransformObject } from "fastify-type-provider-zod";
import type { ApiServer } from "./api-server.ts";
import { tidy, type OpenApiDocument } from "./openapi-document.ts";
import { Problem } from "./problem.ts";

const DESCRIPTION = `What fssync knows, and what it can be told to do.

Lists are answered by pages: \`next\` of one page is \`cursor\` of the following one. Names that hold a slash, as
\`namespace/name\` of a repo, are percent-encoded in paths. Times are ISO 8601. Problems are those of RFC 9457, and their
\`instance\` is the request's id, which the header \`x-request-id\` of the answer and the log have too; a client may choose it
by the same header. What is no HTTP, too large or too slow is answered on the connection with 400, 408, 414 or 431.

A process that listens on loopback without tokens asks nobody who they are. The predecessor's endpoints, which are there
with \`--compat\`, are described in docs/migration.md.`;

const TAGS = [
  { name: "repos", description: "Git repos and what is wrong with them." },
  { name: "apps", description: "Apps: folders of a repo, and how far their hosts are." },
  { name: "hosts", description: "Hosts: what each has, and what it lacks." },
  { name: "status", description: "Everything at once, as `fssync status -o json` prints it." },
  { name: "events", description: "What happened lately." },
  { name: "operations", description: "Syncs that somebody asked for, and what became of them." },
  { name: "suspension", description: "Stopping and resuming work on a repo, an app or a host." },
  { name: "files", description: "Files and archives for hosts and containers that pull." },
  { name: "hooks", description: "Webhooks of Git servers. A signature or a token of the repo's own says who calls." },
];

const SECURITY_SCHEMES = {
  bearer: { type: "http", scheme: "bearer", description: "A token of --tokens-secret, or of Kubernetes." },
  basic: { type: "http", scheme: "basic", description: "The same token as the password, with any name." },
} as const;

/** What can become of any request that says who asks, whatever the route says itself. */
const OF_CALLERS = { 401: Problem, 403: Problem, 429: Problem };
const OF_ALL = { 400: Problem, 500: Problem, 502: Problem, 503: Problem };
const OF_BODIES = { 408: Problem, 413: Problem, 415: Problem };

type Described = Parameters<typeof jsonSchemaTransform>[0];

/** Before the routes: makes `/openapi.json` of their schemas. */
export async function describeApi(server: ApiServer, version: string): Promise<void> {
  await server.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: {
        title: "fssync",
        version,
        description: DESCRIPTION,
        license: { name: "Apache-2.0", url: "https://www.apache.org/licenses/LICENSE-2.0" },
      },
      servers: [{ url: "/", description: "The process that serves this document." }],
      tags: TAGS,
      components: { securitySchemes: SECURITY_SCHEMES },
      security: [{ bearer: [] }, { basic: [] }],
    },
    transform: describeRoute,
    transformObject: (document) => tidy(jsonSchemaTransformObject(document) as OpenApiDocument),
  });
  let text: string | undefined;
  server.get("/openapi.json", { config: { needs: "open" }, schema: { hide: true } }, (_, reply) => {
    text ??= JSON.stringify(server.swagger());
    return reply.type("application/json").send(text);
  });
}

function describeRoute(route: Described): ReturnType<typeof jsonSchemaTransform> {
  const { schema } = route;
  if (!schema || schema.hide) return jsonSchemaTransform(route);
  const { config, method } = route.route;
  const isOpen = config?.needs === "open";
  const response = {
    ...OF_ALL,
    ...(isOpen ? {} : OF_CALLERS),
    ...(config?.rate ? { 429: Problem } : {}),
    ...(method === "POST" ? OF_BODIES : {}),
    ...(schema.response as object),
  };
  const described = jsonSchemaTransform({ ...route, schema: { ...schema, response } });
  if (!isOpen || !described.schema) return described;
  return { ...described, schema: { ...described.schema, security: [] } };
}
