import { createHmac } from "node:crypto";

/** Headers by which the senders of webhooks show that they know a secret. */
export const PROOFS = {
  token: (secret: string) => ({ "x-gitlab-token": secret }),
  bearer: (secret: string) => ({ authorization: `Bearer ${secret}` }),
  github: (secret: string, body: string | Buffer) => ({ "x-hub-signature-256": `sha256=${hex(secret, body)}` }),
  gitea: (secret: string, body: string | Buffer) => ({
    "x-gogs-signature": hex(secret, body),
    "x-gitea-signature": hex(secret, body),
    "x-hub-signature-256": `sha256=${hex(secret, body)}`,
  }),
  forgejo: (secret: string, body: string | Buffer) => ({ "x-forgejo-signature": hex(secret, body) }),
  gogs: (secret: string, body: string | Buffer) => ({ "x-gogs-signature": hex(secret, body) }),
  /** `at` is in milliseconds since the epoch. */
  standard: (secret: string, body: string | Buffer, at = Date.now(), id = "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W") => {
    const timestamp = String(Math.floor(at / 1000));
    const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
    const signature = createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body).digest("base64");
    return { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": `v1,${signature}` };
  },
} satisfies Record<string, (secret: string, body: string | Buffer) => Record<string, string>>;

function hex(secret: string, body: string | Buffer): string {
  return createHmac("sha256", secret).update(body).digest("hex");
}
