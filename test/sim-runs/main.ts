import { type Counts, counted, World } from './world.ts';

/** What one process has to say about its runs. */
export interface SimReport {
  nights: number;
  counts: Counts;
  failed?: { seed: number; problems: string[] };
}

// Runs the seeds FIRST, FIRST + STEP, … up to LAST, stops at the first bad one, and prints its report as JSON.
const [first, last, step] = process.argv.slice(2).map(Number);
if (first === undefined || last === undefined || step === undefined) throw new Error('usage: main FIRST LAST STEP');
const report: SimReport = { nights: 0, counts: Object.fromEntries(counted.map((name) => [name, 0])) as Counts };
for (let seed = first; seed <= last && !report.failed; seed += step) {
  const { problems, counts } = await World.run(seed);
  report.nights++;
  for (const name of counted) report.counts[name] += counts[name];
  if (problems.length > 0) report.failed = { seed, problems };
}
console.log(JSON.stringify(report));
