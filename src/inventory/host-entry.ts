import { isIPv6 } from "node:net";
import { z } from "zod";
import { type Host, hostKey, isAccountName, isPort, isRootFolder, parseHostText } from "../model/host.ts";
import { show } from "./show.ts";

/** A host as an inventory names it: validated, but without the defaults that the configuration gives. */
export interface HostEntry {
  readonly address: string;
  readonly port?: number;
  readonly user?: string;
  readonly root?: string;
}

/** What an entry says about the app it belongs to. */
export interface Labels {
  readonly mod?: string;
  readonly env?: string;
  readonly app?: string;
}

export interface LabelledHost {
  readonly host: HostEntry;
  readonly labels: Labels;
}

export interface HostDefaults {
  readonly user: string;
  readonly port: number;
}

const DIGITS = /^\d{1,5}$/;

/** null means absent: JMESPath gives it for what is not there. */
const HostObject = z.object({
  address: z.string({ error: "it has no address" }),
  port: z
    .union([z.number(), z.string().regex(DIGITS).transform(Number)], { error: "its port is no number" })
    .refine(isPort, { error: "its port is not in 1 to 65535" })
    .nullish(),
  user: z
    .string({ error: "its user is no text" })
    .refine(isAccountName, { error: "its user is no login name" })
    .nullish(),
  root: z
    .string({ error: "its root is no text" })
    .refine(isRootFolder, { error: "its root is no absolute folder without .." })
    .nullish(),
  mod: z.string({ error: "its mod is no text" }).nullish(),
  env: z.string({ error: "its env is no text" }).nullish(),
  app: z.string({ error: "its app is no text" }).nullish(),
});
type HostObject = z.output<typeof HostObject>;

const StrictHostObject = HostObject.strict();

/**
 * A text (`10.0.0.1`, `web-1:2222`, `[::1]:22`) or a host object as a host; a string says why it is
 * none, naming it. A port in an address is the ssh port, here and in the targets of http_sd. Without
 * `strictKeys` keys that a host object does not have are let be: they are the CMDB's own.
 */
export function decodeHost(raw: unknown, { strictKeys }: { strictKeys: boolean }): LabelledHost | string {
  if (typeof raw === "string") return labelled({ address: raw });
  const parsed = (strictKeys ? StrictHostObject : HostObject).safeParse(raw, { error: unknownKeyText });
  return parsed.success ? labelled(parsed.data) : `host ${nameOf(raw)}: ${parsed.error.issues[0]?.message}`;
}

/** The host with every default filled in. */
export function completeHost({ address, port, user, root }: HostEntry, defaults: HostDefaults): Host {
  const actualPort = port ?? defaults.port;
  return {
    key: hostKey(address, actualPort),
    address,
    port: actualPort,
    user: user ?? defaults.user,
    root: root ?? "/",
  };
}

function labelled({ address: text, port, user, root, mod, env, app }: HostObject): LabelledHost | string {
  const parsed = parseHostText(text);
  if (parsed === undefined) return `host ${show(text)} is neither an IP address nor a host name`;
  if (port != null && parsed.port !== undefined && parsed.port !== port)
    return `host ${show(text)}: its address has another port than its port, ${port}`;
  const actualPort = port ?? parsed.port;
  const host: HostEntry = {
    address: canonical(parsed.address),
    ...(actualPort !== undefined && { port: actualPort }),
    ...(user != null && { user }),
    ...(root != null && { root }),
  };
  return { host, labels: { ...(mod != null && { mod }), ...(env != null && { env }), ...(app != null && { app }) } };
}

/** One spelling for one host, so that it has one key: names in lower case, IPv6 compressed. */
function canonical(address: string): string {
  if (!isIPv6(address)) return address.toLowerCase();
  return URL.parse(`http://[${address}]`)?.hostname.slice(1, -1) ?? address;
}

function unknownKeyText(issue: z.core.$ZodRawIssue): string {
  if (issue.code !== "unrecognized_keys") return "it is no host object";
  return `it has the unknown key ${show(issue.keys[0])}`;
}

function nameOf(raw: unknown): string {
  const address = (raw as { address?: unknown } | null)?.address;
  return typeof address === "string" ? show(address) : show(raw);
}
