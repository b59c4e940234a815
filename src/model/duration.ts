const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** `10s`, `5m`, `1h30m`, `250ms` in milliseconds; undefined for anything else. */
export function parseDuration(text: string): number | undefined {
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d))+$/.test(text)) return undefined;
  let total = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)) {
    total += Number(amount) * UNITS[unit as keyof typeof UNITS];
  }
  return total;
}

/** Milliseconds as people read them: `850ms`, `12s`, `3m20s`, `5h10m`, `2d3h`. */
export function formatDuration(milliseconds: number): string {
  if (Math.round(milliseconds) < 1000) return `${Math.round(milliseconds)}ms`;
  const seconds = Math.round(milliseconds / 1000);
  if (seconds < 60) return `${seconds}s`;
  const [large, small, names] =
    seconds < 3600
      ? [Math.floor(seconds / 60), seconds % 60, "ms"]
      : seconds < 86_400
        ? [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60), "hm"]
        : [Math.floor(seconds / 86_400), Math.floor((seconds % 86_400) / 3600), "dh"];
  return small === 0 ? `${large}${names[0]}` : `${large}${names[0]}${small}${names[1]}`;
}
