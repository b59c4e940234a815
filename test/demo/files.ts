import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { FleetHost } from "../support/fleet.ts";

/** sshd hosts by what the CMDB says of them at the start; it does not know the new one yet. */
export const HOSTS = { web: 5, cache: 3, new: 1 } as const;

export const APPS = { web: "nginx/prod/web", cache: "redis/prod/cache" } as const;

/** Path on the host → content. */
export type HostFiles = Readonly<Record<string, string>>;

export const WEB: HostFiles = {
  "etc/nginx/nginx.conf": "worker_processes auto;\nevents {}\nhttp { include conf.d/*.conf; }\n",
  "etc/nginx/conf.d/shop.conf": "server { listen 80; server_name shop.example.com; }\n",
  "etc/nginx/conf.d/old.conf": "server { listen 8081; }\n",
};

export const CACHE: HostFiles = { "etc/redis/redis.conf": "maxmemory 2gb\n" };

/** The repo's first commit. */
export const INITIAL = {
  ".gitattributes": `${APPS.cache}/etc/redis/redis.conf mode=0640\n`,
  ...inRepo(APPS.web, WEB),
  ...inRepo(APPS.cache, CACHE),
};

/** Paths as they are in Git: `<mod>/<env>/<app>/<path on the host>`. */
export function inRepo<Content>(app: string, files: Readonly<Record<string, Content>>): Record<string, Content> {
  return Object.fromEntries(Object.entries(files).map(([path, content]) => [`${app}/${path}`, content]));
}

/** What a host has other than these files and nothing else; undefined when it has just them. */
export function difference(host: FleetHost, files: HostFiles): string | undefined {
  try {
    return compare(host, files);
  } catch (error) {
    // rsync's temporary folders come and go while one looks.
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return `${name(host)} is being written to`;
    throw error;
  }
}

function compare(host: FleetHost, files: HostFiles): string | undefined {
  const found = new Set(
    readdirSync(host.dir, { recursive: true, withFileTypes: true })
      .filter((entry) => !entry.isDirectory())
      .map((entry) => join(entry.parentPath, entry.name).slice(host.dir.length + 1)),
  );
  for (const [path, content] of Object.entries(files)) {
    if (!found.delete(path)) return `${name(host)} has no /${path}`;
    if (readFileSync(join(host.dir, path), "utf8") !== content) return `${name(host)} has an old /${path}`;
  }
  const [more] = found;
  return more === undefined ? undefined : `${name(host)} still has /${more}`;
}

export function modeOn(host: FleetHost, path: string): string {
  return (statSync(join(host.dir, path)).mode & 0o7777).toString(8).padStart(4, "0");
}

export function name({ address, port }: FleetHost): string {
  return `${address}:${port}`;
}
