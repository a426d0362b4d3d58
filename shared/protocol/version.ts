import * as v from 'valibot';
import { NiiaError } from '../errors.ts';

/** The range of wire protocol versions this build speaks. Two sides talk in the highest that both know. */
export const protocolRange = { min: 1, max: 1 } as const;

export interface ProtocolRange {
  min: number;
  max: number;
}

/** The version both speak; throws `version_mismatch` naming the side that must be upgraded. */
export function agreeOnVersion(theirs: ProtocolRange, them: string, ours: ProtocolRange = protocolRange): number {
  const version = Math.min(ours.max, theirs.max);
  if (version >= ours.min && version >= theirs.min) return version;
  const weAreOlder = ours.max < theirs.min;
  throw new NiiaError(
    'version_mismatch',
    `${them} speaks protocol ${theirs.min} to ${theirs.max}, this side ${ours.min} to ${ours.max}`,
    weAreOlder
      ? 'Upgrade niia on this side: install the later version here.'
      : `Upgrade niia on ${them}: install the later version there, then: niia down, niia up.`,
  );
}

const anyGreetingSchema = v.object({ protocol: v.object({ min: v.number(), max: v.number() }) });

/**
 * Throws `version_mismatch` where a greeting names a range without a common version, whatever else is in it: what a
 * later version says may not fit our schema, and then the range alone tells which side is the older.
 */
export function refuseOtherVersions(greeting: unknown, them: string): void {
  const { success, output } = v.safeParse(anyGreetingSchema, greeting);
  if (success) agreeOnVersion(output.protocol, them);
}
