import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { test } from 'vitest';
import { inTier } from '../../support/tier.ts';

const seed = process.env['NIIA_FUZZ_SEED'];
const path = process.env['NIIA_FUZZ_PATH'];

/** What one input may take, milliseconds: far more than any should, since machines may be busy. */
const longestMs = 3_000;
/** What a decoder and all that it decoded may leave behind, bytes. */
const mostLeft = 24 << 20;

export interface FuzzOptions {
  /** Inputs in the full tier, where a million would take too long. */
  full?: number;
  /** Inputs that one run stands for. */
  each?: number;
}

/**
 * A test that gives a decoder a thousand hostile inputs, a million in the full tier. It fails where the property throws,
 * where one input takes seconds, and where memory grows. fast-check prints seed and path of a failing input:
 * `NIIA_FUZZ_SEED=… NIIA_FUZZ_PATH=… npx vitest … -t NAME` gives it again.
 */
export function fuzz<T>(
  name: string,
  inputs: fc.Arbitrary<T>,
  property: (input: T) => void,
  options: FuzzOptions = {},
): void {
  run(name, options, (parameters, watch) => {
    fc.assert(
      fc.property(inputs, (input) => {
        const started = performance.now();
        property(input);
        watch(started);
      }),
      parameters,
    );
  });
}

/** The same for what answers later. */
export function fuzzLive<T>(
  name: string,
  inputs: fc.Arbitrary<T>,
  property: (input: T) => Promise<void>,
  options: FuzzOptions = {},
): void {
  run(name, options, (parameters, watch) =>
    fc.assert(
      fc.asyncProperty(inputs, async (input) => {
        const started = performance.now();
        await property(input);
        watch(started);
      }),
      parameters,
    ),
  );
}

interface Replay {
  numRuns: number;
  seed?: number;
  path?: string;
  endOnFailure?: boolean;
}

/** Fails without the price of `expect`, which a million inputs would pay. */
export function must(condition: boolean, what: string): void {
  if (!condition) throw new Error(`it does not hold that ${what}`);
}

/** Lets everything that is due now happen. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

let breaths = 0;

/** Now and then lets go of native objects that nobody uses any more: a test that never pauses would pile them up. */
export async function breathe(): Promise<void> {
  if (++breaths % 50 === 0) await settled();
}

function run(
  name: string,
  { full: most = 1_000_000, each = 1 }: FuzzOptions,
  check: (parameters: Replay, watch: (started: number) => void) => Promise<void> | void,
): void {
  const runs = Math.max(1, Math.ceil(inTier(Math.min(most, 1_000), most) / each));
  const timeout = inTier(60_000, 900_000);
  test(`${name}: ${(runs * each).toLocaleString('en')} hostile inputs`, { timeout }, async () => {
    const before = held();
    const parameters: Replay = { numRuns: runs };
    if (seed !== undefined) Object.assign(parameters, { seed: Number(seed), path: path ?? '', endOnFailure: true });
    await check(parameters, (started) => {
      must(performance.now() - started < longestMs, `an input takes less than ${longestMs} ms`);
    });
    // What native objects hold is let go of some collections and turns later.
    for (let pass = 0; pass < 10 && held() - before >= mostLeft; pass++) await settled();
    must(held() - before < mostLeft, `less than ${mostLeft} bytes are left behind`);
  });
}

setFlagsFromString('--expose-gc');
const collect: unknown = runInNewContext('gc');

function held(): number {
  if (typeof collect === 'function') collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
