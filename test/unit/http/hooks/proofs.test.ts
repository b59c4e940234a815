import { describe, expect, test } from "vitest";
import { isSignedWith, needsBody, proofsOf, showsSecret } from "../../../../src/http/hooks/proofs.ts";
import type { Sender } from "../../../../src/http/hooks/senders.ts";
import { PROOFS } from "../../../support/webhook-proofs.ts";

const NOW = 1_790_000_000_000;
const SECRET = "a-secret-of-the-hook";
const KEY = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;
const BODY = Buffer.from('{"ref":"refs/heads/main"}');

function believed(sender: Sender, headers: Record<string, string>, secret: string, body = BODY): boolean {
  const proofs = proofsOf(sender, headers, NOW);
  return showsSecret(proofs, secret) || isSignedWith(proofs, secret, body);
}

describe("whoever knows the secret is believed", () => {
  test.for([
    ["gitlab", SECRET, PROOFS.token(SECRET)],
    ["gitlab", KEY, PROOFS.token(KEY)],
    ["gitlab", KEY, PROOFS.standard(KEY, BODY, NOW)],
    ["gitlab", "gehäim mit ünï", PROOFS.token(Buffer.from("gehäim mit ünï").toString("latin1"))],
    ["github", SECRET, PROOFS.github(SECRET, BODY)],
    ["github", KEY, PROOFS.github(KEY, BODY)],
    ["gitea", SECRET, PROOFS.gitea(SECRET, BODY)],
    ["gitea", SECRET, PROOFS.forgejo(SECRET, BODY)],
    ["gitea", SECRET, PROOFS.gogs(SECRET, BODY)],
    ["generic", SECRET, PROOFS.bearer(SECRET)],
    ["generic", KEY, PROOFS.standard(KEY, BODY, NOW)],
    ["generic", SECRET, PROOFS.github(SECRET, BODY)],
  ] as const)("%s, %s, %j", ([sender, secret, headers]) => {
    expect(believed(sender, headers, secret)).toBe(true);
  });

  test("by one right proof among others: of GitLab's two tokens one may be known here", () => {
    const both = { ...PROOFS.standard(KEY, BODY, NOW), ...PROOFS.token(SECRET) };
    expect(believed("gitlab", both, KEY)).toBe(true);
    expect(believed("gitlab", both, SECRET)).toBe(true);
  });

  test("by one of several signatures of the Standard Webhooks, whatever stands beside it", () => {
    const { "webhook-signature": right, ...rest } = PROOFS.standard(KEY, BODY, NOW);
    const other = PROOFS.standard(`whsec_${Buffer.alloc(32, 8).toString("base64")}`, BODY, NOW)["webhook-signature"];
    const listed = `v1a,AAAA ${other}  v2,${right.slice(3)} ${right}`;
    expect(believed("generic", { ...rest, "webhook-signature": listed }, KEY)).toBe(true);
    expect(believed("generic", { ...rest, "webhook-signature": `${other} v2,${right.slice(3)}` }, KEY)).toBe(false);
  });

  test("as the specification of the Standard Webhooks has it in its example", () => {
    const headers = {
      "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
      "webhook-timestamp": "1614265330",
      "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    };
    const proofs = proofsOf("generic", headers, 1_614_265_330_000);
    expect(isSignedWith(proofs, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", Buffer.from('{"test": 2432232314}'))).toBe(
      true,
    );
  });
});

describe("nobody else is", () => {
  const standard = PROOFS.standard(KEY, BODY, NOW);
  test.for([
    ["gitlab", "nothing", {}],
    ["gitlab", "an empty token", { "x-gitlab-token": "" }],
    ["gitlab", "the beginning of the token", { "x-gitlab-token": SECRET.slice(0, -1) }],
    ["gitlab", "more than the token", { "x-gitlab-token": `${SECRET}x` }],
    ["gitlab", "a token twice, as Node joins them", { "x-gitlab-token": `${SECRET}, ${SECRET}` }],
    ["gitlab", "a proof of another sender", PROOFS.github(SECRET, BODY)],
    ["github", "another one's token", PROOFS.token(SECRET)],
    ["github", "another secret", PROOFS.github("another secret", BODY)],
    ["github", "a signature of another body", PROOFS.github(SECRET, `${BODY.toString()} `)],
    ["github", "a signature that is cut off", { "x-hub-signature-256": "sha256=00" }],
    ["github", "no prefix", { "x-hub-signature-256": PROOFS.gogs(SECRET, BODY)["x-gogs-signature"] }],
    ["github", "SHA-1", { "x-hub-signature": "sha1=a4f2d8c0d9e5d1b3f2a0c7a1d6e3b9f8c5d2e1f0" }],
    ["gitea", "no hex", { "x-gitea-signature": "z".repeat(64) }],
    ["generic", "another scheme", { authorization: `Basic ${SECRET}` }],
    ["generic", "an empty token", { authorization: "Bearer " }],
    ["generic", "no id", { ...standard, "webhook-id": "" }],
    ["generic", "another id", { ...standard, "webhook-id": "msg_1" }],
    ["generic", "no time", { ...standard, "webhook-timestamp": "" }],
    ["generic", "a time that is no number", { ...standard, "webhook-timestamp": "0x6A" }],
    [
      "generic",
      "a signature without a version",
      { ...standard, "webhook-signature": standard["webhook-signature"].slice(3) },
    ],
  ] as const)("%s: %s", ([sender, , headers]) => {
    expect(believed(sender, headers, SECRET)).toBe(false);
    expect(believed(sender, headers, KEY)).toBe(false);
  });

  test.for([
    [-301, false],
    [-300, true],
    [300, true],
    [301, false],
  ] as const)("a signature of %d s from now is believed: %s", ([seconds, believes]) => {
    const headers = PROOFS.standard(KEY, BODY, NOW + seconds * 1000);
    expect(believed("gitlab", headers, KEY)).toBe(believes);
  });

  test("a secret that is no key of the Standard Webhooks signs nothing by them, an empty one least of all", () => {
    for (const secret of ["whsec_", "whsec_====", "whsec_AAAA", "whsec_not base64", SECRET]) {
      const key = secret.replace(/^whsec_/, "");
      expect(believed("generic", PROOFS.standard(key, BODY, NOW), secret), secret).toBe(false);
      expect(believed("generic", PROOFS.standard("", BODY, NOW), secret), secret).toBe(false);
    }
  });
});

test("a body is read only for signatures that could be right", () => {
  const needs = (headers: Record<string, string>, sender: Sender = "generic") =>
    needsBody(proofsOf(sender, headers, NOW));
  expect(needs(PROOFS.github(SECRET, BODY))).toBe(true);
  expect(needs(PROOFS.standard(KEY, BODY, NOW))).toBe(true);
  expect(needs(PROOFS.bearer(SECRET))).toBe(false);
  expect(needs(PROOFS.standard(KEY, BODY, NOW - 3_600_000))).toBe(false);
  expect(needs({ "x-hub-signature-256": "sha256=" })).toBe(false);
  expect(needs(PROOFS.standard(KEY, BODY, NOW), "github")).toBe(false);
});
