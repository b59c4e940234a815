import { randomBytes } from "node:crypto";
import { chmodSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { hasCommand } from "../../support/fleet/processes.ts";
import { loginUnavailable, startLogin, type LoginOptions } from "../../support/login-lab.ts";
import { LoginTransport, WAYS } from "../../support/login-transport.ts";

const why = loginUnavailable();
if (why !== undefined) process.stderr.write(`skipped: tests of login shells and forced commands; ${why}\n`);

const SHELLS = ["/bin/sh", "/bin/bash", "/bin/tcsh", "/usr/bin/fish", "/bin/zsh", "/bin/mksh"];
const MODES = {
  "etc/m1": { text: "1", mode: 0o600 },
  "etc/m2": { text: "2", mode: 0o600 },
  "etc/m3": { text: "3", mode: 0o755 },
};
const ODD = 'etc/it\'s $HOME `odd` !! "100%" caf\u00e9';

describe.skipIf(why !== undefined)("a login", () => {
  test.each(SHELLS.filter(hasCommand))("whose shell is %s can do all, in each way", async (shell) => {
    await using login = await startLogin({ shell });
    const bytes = randomBytes(100_000);
    for (const { way, ...how } of WAYS) {
      await using transport = new LoginTransport(login, how);
      const first = await transport.apply({ "etc/a": `1 by ${way}`, [ODD]: { text: bytes, mode: 0o755 } });
      expect([...first.outcome.values()], way).toEqual([null]);
      expect(first.fallback, way).toBeUndefined();
      expect(readFileSync(join(login.root, ODD)).equals(bytes)).toBe(true);
      const second = await transport.apply({ "etc/a": `2 by ${way}` }, { "etc/a": `1 by ${way}` });
      expect([[...second.outcome.values()], second.fallback, second.replaced.size], way).toEqual([
        [null],
        undefined,
        0,
      ]);
      expect(await transport.read("etc/a")).toBe(`2 by ${way}`);
      expect(await transport.inspect(ODD)).toMatchObject({ kind: "file", owner: "fssync", mode: 0o755 });
      // Not root: what it cannot give is not looked at, everything else is.
      await transport.apply(MODES);
      for (const path of Object.keys(MODES)) chmodSync(join(login.root, path), path === "etc/m1" ? 0o600 : 0o666);
      expect((await transport.apply(MODES)).fallback, way).toBeUndefined();
      const modes = Object.keys(MODES).map((path) => statSync(join(login.root, path)).mode & 0o777);
      expect(modes, way).toEqual([0o600, 0o600, 0o755]);
      // Edited since: only plain rsync keeps it.
      const third = await transport.apply({ "etc/a": `3 by ${way}` }, { "etc/a": "1" });
      expect([...third.replaced.values()].flat(), way).toMatchObject([{ path: "etc/a", kept: expect.any(String) }]);
    }
  });

  const refused: [string, LoginOptions, string | null, RegExp][] = [
    ["whose shell is rbash", { shell: "/bin/rbash" }, "ProtocolError", /exec: restricted/],
    ["without a shell", { shell: "/usr/sbin/nologin" }, "ProtocolError", /exit code|shell clean/],
    [
      "with rrsync",
      { keyOptions: 'command="/usr/bin/rrsync /"' },
      "ProtocolError",
      /does not run rsync|extra argument/,
    ],
    ["whose command does nothing", { keyOptions: 'command="true"' }, "ProtocolError", /./],
    ["whose command is not quoted", { keyOptions: 'command="exec $SSH_ORIGINAL_COMMAND"' }, "ProtocolError", /./],
    ["whose command evaluates", { keyOptions: 'command="eval \\"$SSH_ORIGINAL_COMMAND\\""' }, null, /./],
  ];
  test.each(refused)("%s fails with a reason, or can do all", async (_, options, reason, message) => {
    await using login = await startLogin(options);
    for (const { way, ...how } of WAYS) {
      await using transport = new LoginTransport(login, how);
      const { outcome, fallback } = await transport.apply({ "etc/a": way });
      const [error] = outcome.values();
      expect(error?.reason ?? null, `${way}: ${error?.message}`).toBe(reason);
      if (error) expect(error.message).toMatch(message);
      expect(fallback, way).toBe(error && how.batches ? "the host does not run the script" : undefined);
      const look = await transport.inspect("etc/a").catch((thrown: Error & { reason: string }) => thrown.reason);
      if (reason === null) expect(look).toMatchObject({ kind: "file" });
      else expect(look).toBe(reason);
    }
  });
});
