import type { Access, Action, Caller } from "../../ports/access.ts";

/** Several ways to know callers, asked in this order; whoever knew a caller says what they may. */
export class EitherAccess implements Access {
  readonly #ways: readonly Access[];
  readonly #knownBy = new WeakMap<Caller, Access>();

  constructor(ways: readonly Access[]) {
    this.#ways = ways;
  }

  async authenticate(token: string, how?: { readonly asks: boolean }): Promise<Caller | undefined> {
    for (const way of this.#ways) {
      const caller = await way.authenticate(token, how);
      if (!caller) continue;
      this.#knownBy.set(caller, way);
      return caller;
    }
    return undefined;
  }

  async may(caller: Caller, action: Action): Promise<boolean> {
    return (await this.#knownBy.get(caller)?.may(caller, action)) ?? false;
  }
}
