import { z } from "zod";
import { ConfigAppSpec, ConfigAppStatus, type Attempt } from "../../config/resources.ts";
import { appId, type AppKey } from "../../model/app.ts";
import { REASONS, type Reason } from "../../model/errors.ts";
import type { Digest, Refusal } from "../../model/manifest.ts";
import type { DesiredRecord } from "../../model/record.ts";
import type { Revision } from "../../model/revision.ts";
import { timeText } from "../conditions.ts";
import { configAppName, type Resource } from "../objects.ts";
import { specApp, textRevision, textTime } from "./text.ts";

const StoredSpec = z.object(ConfigAppSpec.shape);
const StoredStatus = z.object(ConfigAppStatus.shape).pick({
  digest: true,
  revision: true,
  seenAt: true,
  refused: true,
  attempts: true,
});

export interface StoredApp {
  readonly key: AppKey;
  /** Null when only attempts are noted. */
  readonly desired: DesiredRecord | null;
  readonly attempts: readonly Attempt[];
}

const LONGEST_MESSAGE = 4096;

/** The store's part of a ConfigApp's status. */
export function appStatus({ digest, revision, seenAt, refused }: DesiredRecord) {
  const message = refused?.message.toWellFormed().slice(0, LONGEST_MESSAGE) ?? "";
  return {
    digest,
    revision,
    seenAt: timeText(seenAt),
    refused: refused && { reason: refused.reason, message: message.toWellFormed() },
  };
}

/** Reads a ConfigApp; throws when it is not as the store writes them. */
export function parseApp({ metadata, spec, status }: Resource, repo: string): StoredApp {
  const key = specApp(StoredSpec.parse(spec));
  if (metadata?.name !== configAppName(repo, appId(key))) throw new Error("its name does not belong to its spec");
  const { digest, seenAt, refused, attempts = [], ...stored } = StoredStatus.parse(status ?? {});
  const revision = textRevision(stored.revision);
  if (digest === undefined || revision === undefined) return { key, desired: null, attempts };
  return { key, desired: desiredRecord(key, { digest, revision, seenAt, refused }), attempts };
}

interface Desired {
  readonly digest: Digest;
  readonly revision: Revision;
  readonly seenAt: string | undefined;
  readonly refused: { readonly reason: string; readonly message: string } | undefined;
}

function desiredRecord(key: AppKey, { digest, revision, seenAt, refused }: Desired): DesiredRecord {
  return {
    key,
    digest,
    revision,
    seenAt: seenAt === undefined ? 0 : textTime(seenAt),
    refused: refused ? refusal(refused) : null,
  };
}

function refusal({ reason, message }: { readonly reason: string; readonly message: string }): Refusal {
  return { reason: Object.hasOwn(REASONS, reason) ? (reason as Reason) : "Internal", message };
}
