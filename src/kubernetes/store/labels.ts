import { createHash } from "node:crypto";
import { REPO_LABEL, type RepoRef } from "../objects.ts";

const LABEL_VALUE = /^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$/;

/** The value of REPO_LABEL for a ConfigRepo: its name, or for a name too long for a label its beginning with a hash. */
export function repoLabel(name: string): string {
  if (LABEL_VALUE.test(name)) return name;
  return `${name.slice(0, 46)}.x${createHash("sha256").update(name).digest("hex").slice(0, 12)}`;
}

export function repoSelector(name: string): string {
  return `${REPO_LABEL}=${repoLabel(name)}`;
}

/** What every object of a repo carries. A label whose value Kubernetes does not take is left out. */
export function repoMetadata(repo: RepoRef, name: string, labels: Readonly<Record<string, string>> = {}) {
  const legal = Object.entries(labels).filter(([, value]) => LABEL_VALUE.test(value));
  return {
    name,
    namespace: repo.namespace,
    labels: { ...Object.fromEntries(legal), [REPO_LABEL]: repoLabel(repo.name) },
    ownerReferences: [
      {
        apiVersion: "fssync.dev/v1alpha1",
        kind: "ConfigRepo",
        name: repo.name,
        uid: repo.uid,
        controller: true,
        blockOwnerDeletion: false,
      },
    ],
  };
}
