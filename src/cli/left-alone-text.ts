import { whoAndWhy } from "../ports/suspender.ts";
import type { LeftAlone } from "../reconcile/left-alone.ts";

/** Why nothing happens there, and who can tell. */
export function leftAloneText(leftAlone: readonly LeftAlone[]): string {
  return leftAlone.map((one) => `${whatText(one)}\n`).join("");
}

function whatText(one: LeftAlone): string {
  const { repo, app, host, hosts } = one;
  const said = whoAndWhy(one);
  const suspended = `is suspended${said === "" ? "" : ` (${said})`}`;
  if (host !== undefined) return `Host ${host} of ConfigRepo ${repo} ${suspended}: it is left alone.`;
  if (app === undefined) return `ConfigRepo ${repo} ${suspended}: nothing is synced there.`;
  return `App ${app} of ConfigRepo ${repo} ${suspended}: ${hosts} ${hosts === 1 ? "host is" : "hosts are"} left alone.`;
}
