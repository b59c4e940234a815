import type { AppKey } from "../model/app.ts";
import type { FssyncError } from "../model/errors.ts";
import type { HostKey } from "../model/host.ts";
import type { Digest } from "../model/manifest.ts";
import type { AskedOf } from "./suspension.ts";

/** What a person asked for beyond what the plan finds. */
export interface Wish {
  readonly full: boolean;
  readonly allowPrune: boolean;
}

/** A wish for one app. Whoever allowed the deletes of one change did not allow those of the next. */
export interface AppWish {
  readonly full: boolean;
  /** The desired digest on the way to which any number of files may be deleted. */
  readonly allowPrune: Digest | null;
  /** The object that it was asked of, where that lets it through what is suspended. */
  readonly askedOf?: AskedOf;
}

/** Which hosts and apps a request means; nothing named means all. */
export interface Selection {
  readonly apps?: ReadonlySet<AppKey>;
  readonly hosts?: ReadonlySet<HostKey>;
}

/** The apps that an attempt brought forward; null when what it did could not be recorded. */
export type Done = ReadonlySet<AppKey> | null;

/** Hosts that somebody waits for until each was attempted once. */
export interface Operation {
  readonly hosts: ReadonlySet<HostKey>;
  /** Called after each host; `left` counts down to 0. */
  onAttempted(listener: (key: HostKey, left: number) => void): void;
  /** Resolves when every host was attempted, or has left the inventory. Rejects when no more will be attempted. */
  readonly finished: Promise<void>;
}

export interface RequestedSync extends Operation {
  onAttempted(listener: (key: HostKey, left: number, done: Done) => void): void;
}

interface Pending {
  readonly wishes: Map<AppKey, AppWish>;
  readonly waiters: Set<(key: HostKey, done: Done) => void>;
}

/** Open requests by host. A request that comes while a host is worked on waits for the next attempt. */
export class Requests {
  readonly #pending = new Map<HostKey, Pending>();
  /** Ends those that are not finished. */
  readonly #open = new Set<(error: FssyncError) => void>();
  #closed: FssyncError | null = null;

  /** Opens a request; the caller queues the hosts. */
  open(wishes: ReadonlyMap<HostKey, ReadonlyMap<AppKey, AppWish>>): RequestedSync {
    const left = new Set(wishes.keys());
    const listeners: Parameters<RequestedSync["onAttempted"]>[0][] = [];
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    // Not everybody who asks waits for it.
    promise.catch(() => {});
    const finishIfDone = () => {
      if (left.size > 0) return;
      this.#open.delete(reject);
      resolve();
    };
    const attempted = (key: HostKey, done: Done) => {
      if (!left.delete(key)) return;
      for (const listener of listeners) listener(key, left.size, done);
      finishIfDone();
    };
    for (const [key, apps] of wishes) this.#add(key, apps).waiters.add(attempted);
    this.#open.add(reject);
    finishIfDone();
    if (this.#closed) this.close(this.#closed);
    return {
      hosts: new Set(wishes.keys()),
      onAttempted: (listener) => void listeners.push(listener),
      finished: promise,
    };
  }

  /** Nothing is attempted any more: what is not finished ends with the error, and so does what is opened from now on. */
  close(error: FssyncError): void {
    this.#closed ??= error;
    for (const end of this.#open) end(this.#closed);
    this.#open.clear();
    this.#pending.clear();
  }

  /** Takes what is asked of a host for the attempt that begins now. */
  take(key: HostKey): Taken {
    const pending = this.#pending.get(key);
    this.#pending.delete(key);
    return {
      wishes: pending?.wishes ?? new Map(),
      keep: (apps) => {
        if (!pending) return;
        const newer = new Map(this.#pending.get(key)?.wishes);
        this.#add(key, new Map([...pending.wishes].filter(([app]) => apps?.has(app) ?? true)));
        this.#add(key, newer);
      },
      attempted: (done = new Set()) => pending?.waiters.forEach((waiter) => waiter(key, done)),
    };
  }

  #add(key: HostKey, wishes: ReadonlyMap<AppKey, AppWish>): Pending {
    let pending = this.#pending.get(key);
    if (!pending) this.#pending.set(key, (pending = { wishes: new Map(), waiters: new Set() }));
    for (const [app, wish] of wishes) {
      const before = pending.wishes.get(app);
      const askedOf = wish.askedOf ?? before?.askedOf;
      pending.wishes.set(app, {
        full: wish.full || before?.full === true,
        allowPrune: wish.allowPrune ?? before?.allowPrune ?? null,
        ...(askedOf && { askedOf }),
      });
    }
    return pending;
  }
}

export interface Taken {
  readonly wishes: ReadonlyMap<AppKey, AppWish>;
  /** The wishes for these apps (for all when absent) are not fulfilled yet: they hold for the next attempt too. */
  keep(apps?: ReadonlySet<AppKey>): void;
  attempted(done?: Done): void;
}
