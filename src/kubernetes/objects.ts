import { createHash } from "node:crypto";
import type { KubernetesObject } from "@kubernetes/client-node";
import type { ResourceKind } from "../config/resources.ts";
import type { AppId } from "../model/app.ts";

export const GROUP = "fssync.dev";
export const VERSION = "v1alpha1";
/** An opaque token; any change of it syncs every host below the object again, in full. */
export const REQUESTED_AT = "fssync.dev/requestedAt";
/** On ConfigApps and ConfigHosts: the name of their ConfigRepo. */
export const REPO_LABEL = "fssync.dev/repo";

/** A custom resource of ours as the API server gives it. */
export interface Resource<Spec = unknown, Status = unknown> extends KubernetesObject {
  spec?: Spec;
  status?: Status;
}

export interface ObjectRef {
  readonly kind: ResourceKind;
  readonly namespace: string;
  readonly name: string;
}

/** The ConfigRepo that ConfigApps and ConfigHosts belong to; `uid` tells it from one of the same name before it. */
export interface RepoRef {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

const LABEL = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/;
/** What a hashed name ends in; a plain one that looks like it is hashed too. */
const HASHED = /(^|\.)x[0-9a-f]{12}$/;
const LONGEST_NAME = 253;

/** `<repo>.<mod>.<env>.<app>` when that is a name in Kubernetes and can mean nothing else; else cleaned, with a hash. */
export function configAppName(repo: string, { mod, env, app }: AppId): string {
  const parts = [repo, mod, env, app];
  const plain = parts.every((part) => LABEL.test(part));
  return nameOf(parts.join("."), plain, JSON.stringify(parts));
}

/** `<repo>.<address>` for port 22 and a plain address; else cleaned, with a hash. */
export function configHostName(repo: string, { address, port }: { address: string; port: number }): string {
  const plain = port === 22 && LABEL.test(repo) && address.split(".").every((part) => LABEL.test(part));
  return nameOf(`${repo}.${address}${port === 22 ? "" : `-${port}`}`, plain, JSON.stringify([repo, address, port]));
}

function nameOf(text: string, plain: boolean, identity: string): string {
  if (plain && text.length <= LONGEST_NAME && !HASHED.test(text)) return text;
  const hash = createHash("sha256").update(identity).digest("hex").slice(0, 12);
  const clean = text
    .toLowerCase()
    .replace(/[^a-z0-9.-]+/g, "-")
    .replace(/-*\.[-.]*/g, ".")
    .replace(/^[-.]+|[-.]+$/g, "")
    .slice(0, LONGEST_NAME - 14)
    .replace(/[-.]+$/, "");
  return `${clean}.x${hash}`;
}
