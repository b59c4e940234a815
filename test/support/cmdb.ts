import { once } from "node:events";
import { type IncomingMessage, type Server, type ServerResponse, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { type AppId, type AppKey, appId, appKey } from "../../src/model/app.ts";

/** What a host is to this CMDB: an address, or an object with an address and whatever else. */
export type CmdbHost = string | { readonly address: string; readonly [key: string]: unknown };

/** How the CMDB answers: as it should, or in one of the ways it should not. */
export type Behaviour =
  | "ok"
  | "hang"
  | "drip"
  | "html"
  | "truncated"
  | "reset"
  | "huge"
  | "redirect-loop"
  | "gzip"
  | { readonly status: number }
  | { readonly body: string; readonly contentType?: string }
  | { readonly redirect: string };

export interface CmdbRequest {
  readonly url: string;
  readonly authorization: string | undefined;
}

/**
 * A real HTTP server that knows which hosts run which app.
 *
 * - `GET /api/hosts?mod=&env=&app=` (mod optional): `{"data": [{"ip": "10.0.0.1", …}]}`, one app
 * - `GET /api/all`: `{"data": [{"address", "mod", "env", "app", …}]}`, all apps
 * - `GET /sd`: Prometheus http_sd
 */
export class Cmdb implements AsyncDisposable {
  readonly requests: CmdbRequest[] = [];
  /** Requests that were open at the same time, at most. */
  mostAtOnce = 0;
  /** Milliseconds before each answer. */
  delay = 0;
  /** The Authorization header that is asked for; 401 without it. */
  authorization: string | null = null;
  readonly #server: Server;
  readonly #hosts = new Map<AppKey, readonly CmdbHost[]>();
  readonly #behaviours = new Map<AppKey | "*", Behaviour>();
  #open = 0;

  private constructor() {
    this.#server = createServer((request, response) => void this.#serve(request, response));
  }

  /** On a free port of 127.0.0.1, or on the one given. */
  static async start({ port = 0 }: { port?: number } = {}): Promise<Cmdb> {
    const cmdb = new Cmdb();
    cmdb.#server.listen(port, "127.0.0.1");
    await once(cmdb.#server, "listening");
    return cmdb;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** The hosts of an app from now on; the env is the CMDB's. */
  set(app: AppId | AppKey, hosts: readonly CmdbHost[]): void {
    this.#hosts.set(typeof app === "string" ? app : appKey(app), hosts);
  }

  /** How all requests, or those for one app, are answered from now on. */
  behave(behaviour: Behaviour, app: AppKey | "*" = "*"): void {
    this.#behaviours.set(app, behaviour);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.requests.push({ url: request.url ?? "", authorization: request.headers.authorization });
    this.#open += 1;
    this.mostAtOnce = Math.max(this.mostAtOnce, this.#open);
    response.on("close", () => (this.#open -= 1));
    if (this.delay > 0) await new Promise((resolve) => setTimeout(resolve, this.delay));
    const url = new URL(request.url ?? "/", this.url);
    if (this.authorization !== null && request.headers.authorization !== this.authorization)
      return send(response, 401, "application/json", '{"error":"who are you"}');
    const apps = this.#appsOf(url);
    const own = apps.length === 1 && url.pathname !== "/api/all" ? this.#behaviours.get(appKey(apps[0]!)) : undefined;
    this.#answer(own ?? this.#behaviours.get("*") ?? "ok", url, response);
  }

  #answer(behaviour: Behaviour, url: URL, response: ServerResponse): void {
    const body = this.#body(url);
    if (behaviour === "ok")
      return body === undefined
        ? send(response, 404, "application/json", "{}")
        : send(response, 200, "application/json", JSON.stringify(body));
    if (typeof behaviour !== "string") return misbehaveAs(behaviour, response);
    misbehave(behaviour, url, JSON.stringify(body), response);
  }

  #body(url: URL): unknown {
    switch (url.pathname) {
      case "/api/hosts":
        return { data: this.#appsOf(url).flatMap((id) => this.#entries(id).map(withIp)) };
      case "/api/all":
        return { data: this.#all().flatMap((id) => this.#entries(id).map((host) => ({ ...id, ...host }))) };
      case "/sd":
        return this.#all().map((id) => ({ targets: this.#entries(id).map(target), labels: { ...id, job: "node" } }));
      default:
        return undefined;
    }
  }

  #all(): AppId[] {
    return [...this.#hosts.keys()].map(appId);
  }

  #appsOf({ searchParams }: URL): AppId[] {
    return this.#all().filter((id) =>
      (["mod", "env", "app"] as const).every((part) => !searchParams.has(part) || searchParams.get(part) === id[part]),
    );
  }

  #entries(id: AppId): Exclude<CmdbHost, string>[] {
    return (this.#hosts.get(appKey(id)) ?? []).map((host) => (typeof host === "string" ? { address: host } : host));
  }
}

function withIp(host: Exclude<CmdbHost, string>) {
  return { ...host, ip: host.address, rack: "r12" };
}

function target({ address, port }: Exclude<CmdbHost, string>): string {
  return port === undefined ? address : `${address}:${Number(port)}`;
}

function send(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, { "content-type": type }).end(body);
}

function misbehaveAs(behaviour: Exclude<Behaviour, string>, response: ServerResponse): void {
  if ("redirect" in behaviour) response.writeHead(302, { location: behaviour.redirect }).end("moved");
  else if ("status" in behaviour) send(response, behaviour.status, "text/plain", "no");
  else send(response, 200, behaviour.contentType ?? "application/json", behaviour.body);
}

function misbehave(behaviour: Exclude<Behaviour, object>, url: URL, body: string, response: ServerResponse): void {
  switch (behaviour) {
    case "html":
      return send(response, 200, "text/html", "<html><body>Please log in</body></html>");
    case "truncated":
      response.writeHead(200, { "content-type": "application/json", "content-length": body.length });
      response.write(body.slice(0, Math.floor(body.length / 2)), () => response.destroy());
      return;
    case "reset":
      response.destroy();
      return;
    case "drip":
      response.writeHead(200, { "content-type": "application/json" });
      return dripping(response);
    case "huge":
      response.writeHead(200, { "content-type": "application/json" });
      return flood(response);
    case "gzip":
      response.writeHead(200, { "content-type": "application/json", "content-encoding": "gzip" }).end(body);
      return;
    case "redirect-loop":
      response.writeHead(302, { location: `${url.pathname}${url.search}` }).end();
      return;
    default:
      // "hang": the connection stays open and nothing is ever said.
      return;
  }
}

/** A byte now and then, for ever: never idle, never done. */
function dripping(response: ServerResponse): void {
  const timer = setInterval(() => response.write(" "), 20);
  response.on("close", () => clearInterval(timer));
}

/** One valid list that does not end before a gigabyte. */
function flood(response: ServerResponse): void {
  const chunk = '"10.0.0.1",'.repeat(6000);
  let left = 1024 * 1024 * 1024;
  response.write('{"data":[');
  const pour = () => {
    while (left > 0 && !response.destroyed) {
      left -= chunk.length;
      if (!response.write(chunk)) return void response.once("drain", pour);
    }
    response.end('"10.0.0.2"]}');
  };
  pour();
}
