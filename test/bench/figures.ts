/** What was measured, as tables show it. */

export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

export function seconds(milliseconds: number): string {
  return (milliseconds / 1000).toFixed(2);
}

export function mib(bytes: number): string {
  return String(Math.round(bytes / 1024 / 1024));
}

/** CPU of one host: what is small needs another digit. */
export function perHost(milliseconds: number, hosts: number): string {
  return (milliseconds / hosts).toFixed(milliseconds / hosts < 10 ? 2 : 1);
}

export function ratio(one: number, other: number): string {
  return (one / other).toFixed(2);
}
