import { driverNamed } from './drivers/drivers.ts';

/** Of programs that niia does not know, and of what commands say when they fail. */
const usual =
  /\b(usage|rate|session|weekly|daily|5-hour) limit (was |has been |is )?(reached|exceeded|hit)\b|\bhit your (\w+ )?limit\b|\brate.?limited\b|\brate_limit_(error|exceeded)\b|\b(insufficient_quota|RESOURCE_EXHAUSTED)\b|\b(exceeded|exhausted) your (current |daily )?(quota|capacity)\b|\bquota (was |has been |is )?(exceeded|exhausted)\b|\b429\b.*\btoo many requests\b/i;

/**
 * The line in which a worker says that its model refuses more work for now; undefined where none does. To be asked only of
 * a turn that failed or stands still: `rows` is its screen, `error` what niia was told of the failure.
 */
export function quotaLine(driver: string, rows: readonly string[], error: string): string | undefined {
  const known = driverNamed(driver)?.quota;
  // A worker's screen shows the model's own words too: there its program's marks count.
  if (known) return rows.findLast((row) => known.test(row))?.trim();
  const last = error.split('\n').at(-1) ?? '';
  return usual.test(last) ? last.trim() : undefined;
}
