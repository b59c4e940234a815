import { bracketed } from "../model/host.ts";

interface Named {
  readonly address: string;
  readonly port: number;
}

/** Hosts with the same news are named as far as this. */
const NAMED = 5;

export function hostName({ address, port }: Named): string {
  return port === 22 ? address : `${bracketed(address)}:${port}`;
}

/** `10.0.0.11, 10.0.0.12, … 200 hosts`. */
export function hostNames(hosts: readonly Named[], all = false): string {
  const shown = all ? hosts : hosts.slice(0, NAMED);
  const more = hosts.length > shown.length ? `, … ${hosts.length} hosts` : "";
  return `${shown.map(hostName).join(", ")}${more}`;
}
