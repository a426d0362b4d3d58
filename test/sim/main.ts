import type { Identity } from '../../daemon/team/identity.ts';
import { identities, teamOf } from './team.ts';
import { World } from './world.ts';

/** What one process has to say about its nights. */
export interface SimReport {
  nights: number;
  failed?: { seed: number; summary: string; problems: string[] };
}

// Runs the nights FIRST, FIRST + STEP, … up to LAST, stops at the first bad one, and prints its report as JSON.
const [first, last, step] = process.argv.slice(2).map(Number);
if (first === undefined || last === undefined || step === undefined) throw new Error('usage: main FIRST LAST STEP');
const [a, b] = identities(2) as [Identity, Identity];
const roster = teamOf(a, b);
const report: SimReport = { nights: 0 };
for (let seed = first; seed <= last && !report.failed; seed += step) {
  const { problems, summary } = await World.night(seed, [a, b], roster);
  report.nights++;
  if (problems.length > 0) report.failed = { seed, summary, problems };
}
console.log(JSON.stringify(report));
