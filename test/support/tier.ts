/**
 * Whether everything runs, as in `npm run test:full`. A test that only that tier has bears the tag `full`
 * (`{ tags: 'full' }`); elsewhere it is skipped, and the last line of a run says how many those are.
 */
export const fullTier = Boolean(process.env['NIIA_TEST_FULL']);

/** A count, a size or a limit that differs between the two tiers. */
export function inTier<T>(short: T, full: T): T {
  return fullTier ? full : short;
}
