import { expect, test } from "vitest";
import { parseHookSecrets } from "../../../src/reconcile/hook-secrets.ts";

const LONG = "0123456789abcdef";
const key = (bytes: number) => `whsec_${Buffer.alloc(bytes, 1).toString("base64")}`;

const parsed = (token: string) => parseHookSecrets("hook", new Map([["token", token]]));

test("each line is a secret, but for blank ones and comments", () => {
  const { secrets, faults } = parsed(`# of GitLab\n${LONG}1\r\n\n  ${LONG}2  \n #${LONG}3\n${key(16)}\n${LONG}1`);
  expect(secrets).toEqual([`${LONG}1`, `${LONG}2`, key(16)]);
  expect(faults).toEqual([]);
});

test.for([
  ["a short one", "hunter2", "the secret has 7 characters; 16 are the least"],
  ["a short key, however it is written", key(12), "the secret has 12 bytes; 16 are the least"],
] as const)("%s verifies nothing; it is named by Secret, key and line, and the others hold", ([, short, why]) => {
  const { secrets, faults } = parsed(`# first\n${short}\n${LONG}`);
  expect(secrets).toEqual([LONG]);
  expect(faults).toEqual([`Secret hook, key token, line 2: ${why}`]);
});

test.for([
  ["no key", new Map([["password", LONG]])],
  ["no line", new Map([["token", "\n#\n"]])],
] as const)("a Secret with %s is told", ([, keys]) => {
  expect(parseHookSecrets("hook", keys)).toEqual({
    secrets: [],
    faults: ["Secret hook has no key token, or an empty one"],
  });
});
