// `npm run bench`: how quick niia is, beside tmux and ssh in the same run. It fails when something breaks or bytes are
// wrong, never on a figure.
import { writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';
import { LogFile, measureBulk } from './bulk.mjs';
import { echoScript, measureEcho } from './echo.mjs';
import { measureHops } from './hops.mjs';
import { embeddedPair, standalonePair } from './machines.mjs';
import { measureMemory } from './memory.mjs';
import * as report from './report.mjs';
import { Scratch } from './scratch.mjs';
import { measureStartUp } from './startup.mjs';
import { bulkWays, echoWays, starts } from './ways.mjs';
import { Yardsticks } from './yardsticks.mjs';

const parts = ['echo', 'hops', 'bulk', 'startup', 'memory'];
const usage = `npm run bench -- [--quick] [--megabytes N] [--only PARTS] [--json FILE] [--profile DIR]

  --quick         half the rounds
  --megabytes N   size of the log for the bulk output; default 30
  --only PARTS    some of ${parts.join(',')}
  --json FILE     write the results there, too
  --profile DIR   a CPU profile of every niia process there; it slows them down
`;

/** @typedef {{ only: string[], quick: boolean, megabytes: number, profile: string | undefined }} Options */

/**
 * @param {Scratch} scratch
 * @param {Options} options
 * @returns {Promise<report.Results>}
 */
async function bench(scratch, { only, quick, megabytes, profile }) {
  const host = report.host();
  report.reportHost(host);
  const rounds = (/** @type {number} */ count) => (quick ? Math.ceil(count / 2) : count);
  const wants = (/** @type {string} */ part) => only.length === 0 || only.includes(part);
  const RpcProbe = await bundledProbe(scratch);
  const yardsticks = await Yardsticks.start(scratch);
  if (profile !== undefined) scratch.profileInto(path.resolve(profile));
  const [embedded, standalone] = await Promise.all([embeddedPair(scratch), standalonePair(scratch)]);
  const setting = { scratch, yardsticks, embedded, standalone };

  /** @type {report.Results} */
  const results = { host, aims: [] };
  if (wants('echo')) {
    results.echo = await measureEcho(scratch, await echoWays(setting), { rounds: rounds(6), keystrokes: 400 });
    report.reportEcho(results.echo);
  }
  if (wants('hops')) {
    const { near, far } = embedded;
    /** @type {[string, string]} */
    const here = [await near.session(echoScript), await near.session(echoScript)];
    const sessions = { here, there: await far.session(echoScript) };
    results.hops = await measureHops(RpcProbe, embedded, sessions, { rounds: rounds(4), keystrokes: 300 });
    report.reportHops(results.hops, results.echo);
  }
  if (wants('bulk')) {
    const log = await LogFile.make(scratch, megabytes);
    results.bulk = { log, ways: await measureBulk(scratch, await bulkWays(setting, log), log, { rounds: rounds(3) }) };
    report.reportBulk(results.bulk);
  }
  if (wants('startup')) {
    await yardsticks.startTmux();
    results.startUp = measureStartUp(scratch, starts(setting), { rounds: rounds(20) });
    report.reportStartUp(results.startUp);
  }
  if (wants('memory')) {
    results.memory = await measureMemory(scratch, RpcProbe, { full: !quick });
    report.reportMemory(results.memory);
  }
  results.aims = report.aims(results);
  report.reportAims(results.aims);
  return results;
}

/**
 * The product's own client side, for measurements that no command makes.
 * @param {Scratch} scratch
 * @returns {Promise<typeof import('./rpc-probe.ts').RpcProbe>}
 */
async function bundledProbe(scratch) {
  const outfile = scratch.path('rpc-probe.mjs');
  const entry = fileURLToPath(new URL('./rpc-probe.ts', import.meta.url));
  await build({ entryPoints: [entry], bundle: true, platform: 'node', format: 'esm', target: 'node20', outfile });
  return (await import(pathToFileURL(outfile).href)).RpcProbe;
}

/** @returns {(Options & { json: string | undefined }) | undefined} */
function options() {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      megabytes: { type: 'string', default: '30' },
      only: { type: 'string', default: '' },
      json: { type: 'string' },
      profile: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return undefined;
  const only = values.only.split(',').filter(Boolean);
  const unknown = only.find((part) => !parts.includes(part));
  if (unknown) throw new Error(`--only does not know "${unknown}"; it knows ${parts.join(', ')}`);
  const megabytes = Number(values.megabytes);
  if (!(megabytes > 0)) throw new Error(`--megabytes needs a number above 0, not "${values.megabytes}"`);
  const { quick, json, profile } = values;
  return { quick, only, megabytes, json, profile };
}

/** @returns {Promise<number>} the exit code */
async function main() {
  let wanted;
  try {
    wanted = options();
  } catch (error) {
    console.error(`bench: ${error instanceof Error ? error.message : error}\n${usage}`);
    return 2;
  }
  if (!wanted) {
    process.stdout.write(usage);
    return 0;
  }
  const scratch = new Scratch();
  /** @type {Promise<NodeJS.Signals>} */
  const interrupted = new Promise((resolve) => {
    for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) process.on(signal, resolve);
  });
  let code = 0;
  const started = performance.now();
  try {
    const outcome = await Promise.race([bench(scratch, wanted), interrupted]);
    if (typeof outcome === 'string') code = 128 + constants.signals[outcome];
    else if (wanted.json !== undefined) writeFileSync(wanted.json, `${JSON.stringify(outcome, null, 2)}\n`);
  } catch (error) {
    console.error('bench:', error);
    code = 1;
  }
  // What is left over after an orderly end would be left over in a user's machine, too.
  const left = await scratch.clean();
  if (code === 0 && left.length > 0) code = 1;
  report.say(`\nIt took ${((performance.now() - started) / 1000).toFixed(0)} s.`);
  return code;
}

process.exit(await main());
