import { isIP } from "node:net";

/** Text by which hosts sort: IPv4 addresses by number, IPv6 addresses by number, names; then by port. */
export function hostOrder(address: string, port: number): string {
  return `${addressOrder(address)} ${String(port).padStart(5, "0")}`;
}

function addressOrder(address: string): string {
  const version = isIP(address);
  if (version === 4) return `4 ${hexOfIPv4(address)}`;
  if (version === 6) return `6 ${hexOfIPv6(address)}`;
  return `name ${address}`;
}

function hexOfIPv4(address: string): string {
  return address
    .split(".")
    .map((part) => Number(part).toString(16).padStart(2, "0"))
    .join("");
}

function hexOfIPv6(address: string): string {
  // The last 32 bits may be written as an IPv4 address.
  const text = address.replace(/[^:]+\.[^:]+$/, (v4) => hexOfIPv4(v4).replace(/^.{4}/, "$&:"));
  const [before = "", after] = text.split("::");
  const [head, tail] = [before, after ?? ""].map((part) => part.split(":").filter((group) => group !== ""));
  const zeros = after === undefined ? 0 : 8 - head!.length - tail!.length;
  return [...head!, ...Array<string>(zeros).fill("0"), ...tail!]
    .map((group) => group.toLowerCase().padStart(4, "0"))
    .join("");
}
