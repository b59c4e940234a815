import { spawn } from "node:child_process";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname } from "node:path";
import type { TestRepo } from "../../support/repo.ts";

export interface HttpRemote extends AsyncDisposable {
  readonly url: string;
  readonly origin: string;
  /** Resolves at the next request. */
  requested(): Promise<void>;
}

/** `git http-backend` behind basic auth, on the loopback address. */
export function serveGit(repo: TestRepo, login: { username: string; password: string }): Promise<HttpRemote> {
  const expected = `Basic ${Buffer.from(`${login.username}:${login.password}`).toString("base64")}`;
  return serve((request, response) => {
    if (request.headers.authorization === expected) return backend(repo, request, response);
    response.writeHead(401, { "WWW-Authenticate": 'Basic realm="git"' }).end();
  });
}

/** Takes requests and never answers. */
export function serveSilence(): Promise<HttpRemote> {
  return serve(() => undefined);
}

export function serveRedirect(to: HttpRemote): Promise<HttpRemote> {
  return serve((request, response) => response.writeHead(302, { Location: `${to.origin}${request.url}` }).end());
}

async function serve(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<HttpRemote> {
  let waiting = Promise.withResolvers<void>();
  const server = createServer((request, response) => {
    waiting.resolve();
    waiting = Promise.withResolvers();
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    origin,
    url: `${origin}/remote.git`,
    requested: () => waiting.promise,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function backend(repo: TestRepo, request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? "/", "http://localhost");
  const child = spawn("git", ["http-backend"], {
    env: {
      PATH: process.env["PATH"],
      GIT_PROJECT_ROOT: dirname(repo.path),
      GIT_HTTP_EXPORT_ALL: "1",
      REQUEST_METHOD: request.method,
      PATH_INFO: url.pathname,
      QUERY_STRING: url.search.slice(1),
      CONTENT_TYPE: request.headers["content-type"] ?? "",
      HTTP_CONTENT_ENCODING: request.headers["content-encoding"] ?? "",
      GIT_PROTOCOL: String(request.headers["git-protocol"] ?? ""),
      REMOTE_USER: "tester",
      REMOTE_ADDR: "127.0.0.1",
    },
  });
  request.pipe(child.stdin);
  child.stdin.on("error", () => undefined);
  const parts: Buffer[] = [];
  child.stdout.on("data", (part: Buffer) => parts.push(part));
  child.on("close", () => {
    const output = Buffer.concat(parts);
    const end = output.indexOf("\r\n\r\n");
    const headers = output
      .toString("latin1", 0, end)
      .split("\r\n")
      .map((line) => line.split(": ", 2) as [string, string]);
    const status = headers.find(([name]) => name === "Status")?.[1] ?? "200";
    response.writeHead(Number.parseInt(status, 10), Object.fromEntries(headers.filter(([name]) => name !== "Status")));
    response.end(output.subarray(end + 4));
  });
}
