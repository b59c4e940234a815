import { spawn } from "node:child_process";
import { Running } from "../support/world.ts";
import type { ImageConfig } from "./build.ts";

/** As the chart's pod has it: read-only root, an emptyDir for data and one for /tmp, no rights whatsoever. */
const CONTAINER = `
  mount --bind "$ROOT" "$ROOT"
  mount -t proc proc "$ROOT/proc"; mount --rbind /dev "$ROOT/dev"
  mount -t tmpfs -o mode=2777,gid=65532 tmp "$ROOT/tmp"
  for folder in $FOLDERS; do mkdir -p "$ROOT$folder"; mount --bind "$folder" "$ROOT$folder"; done
  mount --bind "$DATA" "$ROOT/var/lib/fssync"
  mount --bind "$CONFIG" "$ROOT/etc/fssync"
  mount -o remount,ro,bind "$ROOT"
  exec chroot "$ROOT" /usr/bin/env -i "$@"`;

export interface ContainerOptions {
  readonly root: string;
  readonly image: ImageConfig;
  /** Mounted at /var/lib/fssync. */
  readonly data: string;
  /** Mounted at /etc/fssync. */
  readonly config: string;
  /** Folders of this machine that are seen in the container under the same name, below /tmp. */
  readonly folders?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** Starts a program in the image as a container of it would be, with process 1 of its own and this machine's network. */
export function startContainer(
  { root, image, data, config, folders = [], env = {} }: ContainerOptions,
  argv: readonly string[],
): Running {
  const words = Object.entries({ ...image.env, ...env }).map(([key, value]) => `${key}=${value}`);
  const [uid, gid] = image.user.split(":");
  const unprivileged = ["setpriv", `--reuid=${uid}`, `--regid=${gid}`, "--clear-groups", "--inh-caps=-all"];
  const bounded = [...unprivileged, "--bounding-set=-all", "--no-new-privs", "--"];
  const own = ["--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"];
  const script = ["sh", "-euc", CONTAINER, "sh", ...words, `--chdir=${image.workdir}`, ...bounded, ...argv];
  const given = { ROOT: root, DATA: data, CONFIG: config, FOLDERS: folders.join(" ") };
  return new Running(spawn("unshare", [...own, ...script], { env: { ...process.env, ...given }, stdio: "pipe" }));
}
