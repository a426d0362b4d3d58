const units: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** How a length of time is written: `500ms`, `90s`, `10m`, `1.5h`, `2d`. */
export const durationPattern = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/;

/** Milliseconds, whole ones; undefined where it is not so written. */
export function parseDuration(text: string): number | undefined {
  const [, number, unit] = durationPattern.exec(text) ?? [];
  const factor = unit === undefined ? undefined : units[unit];
  return number === undefined || factor === undefined ? undefined : Math.round(Number(number) * factor);
}

/** A length of time in its largest unit: `42s`, `3m`, `5h`, `2d`. */
export function span(ms: number): string {
  const s = Math.max(0, Math.round(ms / 1_000));
  if (s < 60) return `${s}s`;
  if (s < 3_600) return `${Math.floor(s / 60)}m`;
  if (s < 86_400) return `${Math.floor(s / 3_600)}h`;
  return `${Math.floor(s / 86_400)}d`;
}
