import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";

/** One write, as the API server has it. */
export interface AuditedWrite {
  readonly user: string;
  readonly verb: string;
  readonly namespace: string;
  /** `confighosts/status` */
  readonly resource: string;
  readonly name: string;
  /** The HTTP status of the answer. */
  readonly code: number;
  /** When the request came and when it was answered, ISO 8601. */
  readonly from: string;
  readonly to: string;
}

interface Entry {
  readonly user: { readonly username: string };
  readonly verb: string;
  readonly objectRef?: {
    readonly resource: string;
    readonly subresource?: string;
    readonly namespace?: string;
    readonly name?: string;
  };
  readonly responseStatus?: { readonly code: number };
  readonly requestReceivedTimestamp: string;
  readonly stageTimestamp: string;
}

/** Who wrote what, by the API server's own audit log. */
export class Audit implements Disposable {
  readonly #dir = mkdtempSync(join(tmpdir(), "audit-"));

  /** Flags of kube-apiserver. */
  get args(): string[] {
    const policy = {
      apiVersion: "audit.k8s.io/v1",
      kind: "Policy",
      omitStages: ["RequestReceived", "ResponseStarted"],
      rules: [
        {
          level: "Metadata",
          verbs: ["create", "update", "patch", "delete", "deletecollection"],
          resources: [{ group: "fssync.dev" }, { group: "coordination.k8s.io" }],
        },
        { level: "None" },
      ],
    };
    writeFileSync(join(this.#dir, "policy.yaml"), stringify(policy));
    return [`--audit-policy-file=${join(this.#dir, "policy.yaml")}`, `--audit-log-path=${this.#log}`];
  }

  /** In the order of their ends. The API server writes each down before it answers. */
  writes(namespace: string): AuditedWrite[] {
    return readFileSync(this.#log, "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as Entry)
      .filter(({ objectRef }) => objectRef?.namespace === namespace)
      .map(({ user, verb, objectRef, responseStatus, requestReceivedTimestamp, stageTimestamp }) => ({
        user: user.username,
        verb,
        namespace,
        resource: [objectRef!.resource, objectRef!.subresource].filter(Boolean).join("/"),
        name: objectRef!.name ?? "",
        code: responseStatus?.code ?? 0,
        from: requestReceivedTimestamp,
        to: stageTimestamp,
      }));
  }

  get #log(): string {
    return join(this.#dir, "audit.log");
  }

  [Symbol.dispose](): void {
    rmSync(this.#dir, { recursive: true, force: true });
  }
}
