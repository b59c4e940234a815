import { asFssyncError, FssyncError } from "../model/errors.ts";
import { CONNECTIONS } from "./caps.ts";

/** A server of Fastify, whatever its types are. */
interface Listener {
  listen(where: { host: string; port: number } & typeof OPTIONS): Promise<string>;
}

const OPTIONS = {
  /** All may come at the same moment: the kernel drops connections that find no place here, and nobody tells the client. */
  backlog: CONNECTIONS,
  /** For the log, where messages are constant. */
  listenTextResolver: () => "HTTP server listens",
};

/** Listens on `address:port`, `[::1]:port` or `:port` (all addresses). Throws InvalidSpec when that cannot be. */
export async function listen(server: Listener, listenOn: string, flag = "--listen"): Promise<string> {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(listenOn);
  const port = Number(match?.[3]);
  if (!match || port > 65_535) {
    throw new FssyncError("InvalidSpec", `${flag} ${listenOn}: expected ADDRESS:PORT, for example 127.0.0.1:8080`);
  }
  try {
    const host = match[1] ?? match[2];
    return host ? await server.listen({ host, port, ...OPTIONS }) : await listenOnAll(server, port);
  } catch (error) {
    const { message } = asFssyncError(error);
    throw new FssyncError("InvalidSpec", `${flag} ${listenOn}: cannot listen there: ${message}`, { cause: error });
  }
}

/** A kernel without IPv6 has no `::`. */
async function listenOnAll(server: Listener, port: number): Promise<string> {
  try {
    return await server.listen({ host: "::", port, ...OPTIONS });
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    if (!["EAFNOSUPPORT", "EADDRNOTAVAIL", "EINVAL"].includes(code)) throw error;
    return await server.listen({ host: "0.0.0.0", port, ...OPTIONS });
  }
}
