import type { Socket } from "node:net";
import { asFssyncError, FssyncError } from "../../model/errors.ts";
import type { Host } from "../../model/host.ts";
import type { Clock } from "../../ports/clock.ts";
import { ALGORITHMS } from "./algorithms.ts";
import { connectError } from "./connect-error.ts";
import { Connection } from "./connection.ts";
import { FencedSocket } from "./fenced-socket.ts";
import type { Handshakes } from "./handshakes.ts";
import type { HostKeys } from "./host-keys.ts";
import { Limit } from "../limit.ts";
import type { Names, Resolved } from "./names.ts";
import type { Attempt } from "./login.ts";
import { ssh2 } from "./ssh2.ts";

/**
 * Milliseconds after which the kernel asks the host's whether it is still there, each second, ten times: what is
 * between them does not forget the connection, and one that is dead is found without work for this process.
 */
const KERNEL_ASKS_AFTER = 15_000;

/** Milliseconds in which one of several addresses of a host answers, before the next is tried. */
const ADDRESS_TAKES = 2500;

export interface OpeningOptions {
  readonly host: Host;
  readonly hostKeys: HostKeys;
  /** How to log in, for each connection anew. */
  readonly login: (host: Host) => Attempt;
  /** Milliseconds until the host is logged in on; waiting for a turn does not count. */
  readonly timeout: number;
  readonly signal: AbortSignal;
  readonly names: Names;
  readonly handshakes: Handshakes;
  /** Looks at the time that is allowed. */
  readonly check: () => void;
  readonly clock: Clock;
}

/**
 * Connects and logs in. Rejects with what keeps the host from being reached: ConnectTimeout, AuthFailed, HostKeyUnknown,
 * …; with Interrupted when the signal aborts.
 */
export async function openConnection(options: OpeningOptions): Promise<Connection> {
  const { host, timeout, signal, names, handshakes, check, clock } = options;
  const resolved = await names
    .lookup(host.address, signal)
    .catch((error: Error) => Promise.reject(connectError(host, error)));
  await handshakes.begin(signal);
  const socket = new FencedSocket(check);
  socket.setKeepAlive(true, KERNEL_ASKS_AFTER);
  const late = () =>
    new FssyncError("ConnectTimeout", `connect to ${host.address} port ${host.port}: timed out after ${timeout} ms`);
  try {
    const began = clock.monotonic();
    {
      using limit = new Limit({ left: timeout, late, signal, clock });
      await limit.race(answered(socket, host, resolved));
    }
    const left = timeout - (clock.monotonic() - began);
    using _ = await handshakes.answered(signal);
    using limit = new Limit({ left, late, signal, clock });
    return await limit.race(loggedIn(socket, options));
  } catch (error) {
    names.forget(host.address);
    socket.destroy();
    throw error;
  }
}

/** Resolves when the host says its first byte: every ssh server begins by itself. */
async function answered(socket: Socket, host: Host, resolved: Resolved): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const fail = (error?: Error) => reject(connectError(host, error ?? closed()));
  // For good: it may break while it waits for its turn.
  socket.on("error", fail).once("close", () => fail());
  socket.once("readable", resolve);
  const attempts = { autoSelectFamily: true, autoSelectFamilyAttemptTimeout: ADDRESS_TAKES };
  socket.connect({ host: host.address, port: host.port, ...attempts, ...resolved });
  await promise;
}

async function loggedIn(
  socket: Socket,
  { host, hostKeys, login, timeout: answerTimeout, clock }: OpeningOptions,
): Promise<Connection> {
  if (socket.destroyed || socket.readableEnded) throw connectError(host, closed());
  const client = new ssh2.Client();
  const connection = new Connection({ host, client, socket, answerTimeout, clock });
  const ready = Promise.withResolvers<void>();
  const attempt = login(host);
  let refused: FssyncError | undefined;
  let shown: Buffer | undefined;
  client.once("ready", ready.resolve);
  void connection.ended.then((error) => ready.reject(refused ?? connectError(host, error ?? closed(), attempt)));
  client.connect({
    sock: socket,
    username: host.user,
    // What looks after the time and after signs of life is ours.
    readyTimeout: 0,
    keepaliveInterval: 0,
    algorithms: { ...ALGORITHMS, serverHostKey: [...hostKeys.algorithms(host)] },
    authHandler: attempt.handler,
    hostVerifier: (key: Buffer, verify: (valid: boolean) => void) => {
      // Keys are exchanged again and again: later ones must be signed by the host that was let in.
      if (shown) return verify(shown.equals(key));
      shown = Buffer.from(key);
      const decided = (valid: boolean) => {
        // ssh2 throws at an answer about a connection that has ended.
        if (connection.alive) verify(valid);
      };
      hostKeys
        .check(host, key)
        .then(
          () => decided(true),
          (error: unknown) => {
            refused = asFssyncError(error);
            decided(false);
          },
        )
        .catch((error: unknown) => socket.destroy(error instanceof Error ? error : undefined));
    },
  });
  await ready.promise;
  return connection;
}

function closed(): Error {
  return new Error("the host closed the connection");
}
