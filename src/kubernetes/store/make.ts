import type { ConfigHostSpec } from "../../config/resources.ts";
import type { AppKey } from "../../model/app.ts";
import type { HostRecord } from "../../model/record.ts";
import { GROUP, VERSION, type Resource } from "../objects.ts";
import { repoMetadata } from "./labels.ts";
import type { RepoMemory } from "./repo-memory.ts";
import { appStatus } from "./stored-app.ts";
import { appSpec } from "./text.ts";
import type { Make } from "./write-job.ts";

// The objects as they are made. `spec.suspend` is the users' own: it is never named here.

const apiVersion = `${GROUP}/${VERSION}`;

/** With all that is known of the app, should somebody have deleted the object meanwhile. */
export function makeApp(memory: RepoMemory, app: AppKey): Make {
  const { ref } = memory;
  const { name } = memory.app(app);
  const id = appSpec(app);
  const labels = { [`${GROUP}/mod`]: id.mod, [`${GROUP}/env`]: id.env, [`${GROUP}/app`]: id.app };
  return () => {
    const desired = memory.desired.get(app);
    const { entries } = memory.log(app);
    return {
      apiVersion,
      kind: "ConfigApp",
      metadata: repoMetadata(ref, name, labels),
      spec: { repoRef: { name: ref.name }, ...id },
      status: { ...(desired && appStatus(desired)), ...(entries.length > 0 && { attempts: entries }) },
    } satisfies Resource;
  };
}

/** Without its status: whatever is stored of a host is the whole of it. */
export function makeHost(memory: RepoMemory, record: HostRecord): Make {
  const { address, port } = record;
  const { ref } = memory;
  const { name } = memory.host({ address, port });
  return () => ({
    apiVersion,
    kind: "ConfigHost",
    metadata: repoMetadata(ref, name),
    spec: { repoRef: { name: ref.name }, address, port, ...hostSpec(record) },
  });
}

/** The part of the spec that can change while the host stays the same. */
export function hostSpec({ root, user }: Pick<HostRecord, "root" | "user">): Pick<ConfigHostSpec, "root" | "user"> {
  return { root: root.toWellFormed(), ...(user === undefined ? {} : { user }) };
}
