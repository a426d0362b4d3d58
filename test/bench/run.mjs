// `npm run bench`: how quick niia is, beside tmux and ssh in the same run. It fails when something breaks or bytes are
// wrong, never on a figure.
import { writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { LogFile, measureBulk } from './bulk.mjs';
import { makeBundles } from './bundles.mjs';
import { echoScript, measureEcho } from './echo.mjs';
import { measureFailover } from './failover.mjs';
import { measureFlood } from './flood.mjs';
import { measureHops } from './hops.mjs';
import { measureInteractive } from './interactive.mjs';
import { endPair, Gateway, makePair } from './machines.mjs';
import { measureMemory } from './memory.mjs';
import { measurePaths } from './paths.mjs';
import { measurePrompts, reportPrompts } from './prompts.mjs';
import * as report from './report.mjs';
import * as links from './report-links.mjs';
import { Scratch } from './scratch.mjs';
import { measureStartUp } from './startup.mjs';
import { measureState, reportState } from './state.mjs';
import { bulkWays, echoWays, starts } from './ways.mjs';
import { Yardsticks } from './yardsticks.mjs';

const parts = [
  'echo',
  'hops',
  'bulk',
  'startup',
  'memory',
  'paths',
  'failover',
  'interactive',
  'flood',
  'state',
  'prompts',
];
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
async function bench(scratch, options) {
  const { quick, profile } = options;
  const { wants, rounds } = extent(options);
  const host = report.host();
  report.reportHost(host);
  const bundles = await makeBundles(scratch);
  const { RpcProbe } = bundles;
  const yardsticks = await Yardsticks.start(scratch);
  if (profile !== undefined) scratch.profileInto(path.resolve(profile));

  /** @type {report.Results} */
  const results = { host, aims: [] };
  if (['echo', 'hops', 'bulk', 'startup'].some(wants)) {
    const setting = { scratch, yardsticks, pairs: await makePairs(scratch, RpcProbe) };
    await measurePairs(setting, RpcProbe, results, options);
    for (const pair of Object.values(setting.pairs)) await endPair(pair);
  }
  if (wants('memory')) {
    results.memory = await measureMemory(scratch, RpcProbe, { full: !quick });
    report.reportMemory(results.memory);
  }
  if (wants('paths')) {
    const pair = await makePair(scratch, RpcProbe, ['U', 'V'], { kind: 'all' });
    results.paths = await measurePaths(RpcProbe, pair, { rounds: rounds(6) });
    await endPair(pair);
    links.reportPaths(results.paths);
  }
  if (wants('failover')) {
    const gateway = new Gateway(scratch, 'gateway-failover');
    await gateway.start();
    const pair = await makePair(scratch, RpcProbe, ['W', 'X'], { kind: 'all', gateway });
    results.failover = await measureFailover(bundles, scratch, pair, { rounds: rounds(4) });
    await endPair(pair);
    links.reportFailover(results.failover);
  }
  if (wants('interactive')) {
    const sizes = { rounds: rounds(4), keystrokes: 30 };
    results.interactive = await measureInteractive(bundles, scratch, yardsticks.programs, sizes);
    links.reportInteractive(results.interactive);
  }
  if (wants('flood')) {
    results.flood = await measureFlood(bundles, scratch, { rounds: rounds(4), keystrokes: 600 });
    links.reportFlood(results.flood);
  }
  if (wants('state')) {
    results.state = await measureState(scratch, RpcProbe, { rounds: rounds(40), seconds: rounds(10) });
    reportState(results.state);
  }
  if (wants('prompts')) {
    results.prompts = await measurePrompts(scratch, RpcProbe, { prompts: rounds(1000) });
    reportPrompts(results.prompts);
  }
  results.aims = [...report.aims(results), ...links.aims(results)];
  report.reportAims(results.aims);
  return results;
}

/**
 * What the ways through one pair of machines after another are compared by.
 * @param {import('./ways.mjs').Setting} setting
 * @param {typeof import('./rpc-probe.ts').RpcProbe} RpcProbe
 * @param {report.Results} results where they go
 * @param {Options} options
 */
async function measurePairs(setting, RpcProbe, results, { only, quick, megabytes }) {
  const { scratch, yardsticks, pairs } = setting;
  const { wants, rounds } = extent({ only, quick });
  if (wants('echo')) {
    results.echo = await measureEcho(scratch, await echoWays(setting), { rounds: rounds(6), keystrokes: 400 });
    report.reportEcho(results.echo);
  }
  if (wants('hops')) {
    const { near, far } = pairs.embedded;
    /** @type {[string, string]} */
    const here = [await near.session(echoScript), await near.session(echoScript)];
    const sessions = { here, there: await far.session(echoScript) };
    const channel = await yardsticks.openChannel();
    results.hops = await measureHops(RpcProbe, pairs, channel, sessions, { rounds: rounds(4), keystrokes: 300 });
    await channel.close();
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
}

/**
 * One pair for each way that a link can take.
 * @param {Scratch} scratch
 * @param {typeof import('./rpc-probe.ts').RpcProbe} RpcProbe
 * @returns {Promise<import('./ways.mjs').Pairs>}
 */
async function makePairs(scratch, RpcProbe) {
  const gateway = new Gateway(scratch, 'gateway');
  await gateway.start();
  const [embedded, standalone, direct, p2p] = await Promise.all([
    makePair(scratch, RpcProbe, ['A', 'B'], { kind: 'gateway' }),
    makePair(scratch, RpcProbe, ['C', 'D'], { kind: 'gateway', gateway }),
    makePair(scratch, RpcProbe, ['E', 'F'], { kind: 'direct' }),
    makePair(scratch, RpcProbe, ['G', 'H'], { kind: 'p2p' }),
  ]);
  return { embedded, standalone, direct, p2p };
}

/**
 * Which parts, and how many rounds of each.
 * @param {Pick<Options, 'only' | 'quick'>} options
 */
function extent({ only, quick }) {
  return {
    rounds: (/** @type {number} */ count) => (quick ? Math.ceil(count / 2) : count),
    wants: (/** @type {string} */ part) => only.length === 0 || only.includes(part),
  };
}

/** @returns {(Options & { json: string | undefined }) | undefined} */
function readOptions() {
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
    wanted = readOptions();
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
