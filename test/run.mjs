// `npm test`: sets up what the tests need, runs them, and closes with one line that counts them. It is to be over within
// ten minutes on two cores: seed and input counts are small, and what bears the tag `full` is left out.
// `--full` is the long tier: everything, full seed and input counts, Node 24 as well, the workbench three times.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { ensureDebianPackages } from './setup/debian.mjs';
import { ensureCodeServer } from './vscode/install.mjs';

const { values } = parseArgs({ options: { full: { type: 'boolean', default: false }, only: { type: 'string' } } });
const artifacts = 'test/artifacts';
const counts = { passed: 0, failed: 0, skipped: 0, left: 0 };
const stepLimitMs = (values.full ? 60 : 8) * 60_000;

/** The step under way, in a process group of its own. @type {import('node:child_process').ChildProcess | undefined} */
let running;
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => {
    if (running?.pid) process.kill(-running.pid, signal);
    process.exit(1);
  });
}

/** Runs one step to its end; a step that fails does not stop the others, so that one run shows all that is wrong. */
async function step(name, command, args, env = {}) {
  if (values.only && !name.startsWith(values.only)) return;
  const started = performance.now();
  console.log(`\n— ${name}`);
  const child = spawn(command, args, {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, ...env },
    detached: true,
  });
  running = child;
  // A step that hangs is ended with all that it started, and has failed.
  const limit = setTimeout(() => process.kill(-child.pid, 'SIGKILL'), stepLimitMs);
  const [code] = await once(child, 'close');
  clearTimeout(limit);
  running = undefined;
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(`— ${name}: ${code === 0 ? 'ok' : `failed (${code})`} in ${seconds} s`);
  return code === 0;
}

/** A step that is one check: it counts as one test. */
async function check(name, command, args) {
  const ok = await step(name, command, args);
  if (ok === undefined) return;
  counts[ok ? 'passed' : 'failed'] += 1;
}

/** A step that runs a suite by vitest and counts its tests. */
async function suite(name, project, env = {}) {
  const report = `${artifacts}/${name.replaceAll(' ', '-')}.json`;
  rmSync(report, { force: true });
  const ok = await step(
    name,
    'npx',
    [
      'vitest',
      'run',
      '--config',
      'test/vitest.config.ts',
      '--project',
      project,
      '--reporter=dot',
      '--reporter=json',
      `--outputFile.json=${report}`,
    ],
    { NIIA_TEST_FULL: values.full ? '1' : '', ...env },
  );
  if (ok === undefined) return;
  let result;
  try {
    result = JSON.parse(readFileSync(report, 'utf8'));
  } catch (error) {
    console.error(`no report of ${name}: ${error}`);
    counts.failed += 1;
    return;
  }
  counts.passed += result.numPassedTests;
  counts.failed += result.numFailedTests;
  const left = values.full ? 0 : result.testResults.flatMap((file) => file.assertionResults).filter(isLeft).length;
  counts.left += left;
  counts.skipped += result.numPendingTests - left;
  // A suite can fail without a failing test: a file that does not load, a hook that throws.
  if (!ok && result.numFailedTests === 0) counts.failed += 1;
  if (ok && result.numPassedTests === 0) counts.failed += 1;
}

/** Whether a test was skipped because it is one of the long tier. */
function isLeft({ status, tags }) {
  return status === 'skipped' && tags.includes('full');
}

mkdirSync(artifacts, { recursive: true });
await ensureDebianPackages([
  ...['git', 'tmux', 'chromium'],
  // The network laboratory, and a TURN server.
  ...['iproute2', 'nftables', 'python3-minimal', 'coturn'],
  // A service manager, and what checks the files of others.
  ...['systemd', 'libplist-utils', 'libxml2-utils'],
  // Sandboxes of workers.
  'bubblewrap',
]);
await check('format and lint', 'npx', ['biome', 'check', '--error-on-warnings', '.']);
await check('types', 'npm', ['run', '--silent', 'check:types']);
await check('imports', 'npm', ['run', '--silent', 'check:imports']);
await check('build', 'node', ['esbuild.mjs']);
await suite('unit', 'unit');
await suite('system', 'system');
await suite('network', 'network');
const { node24 } = await ensureCodeServer();
if (values.full) {
  await suite('system on node 24', 'system', { NIIA_TEST_NODE: node24 });
  await suite('network on node 24', 'network', { NIIA_TEST_NODE: node24 });
}
for (let round = 1; round <= (values.full ? 3 : 1); round++) await suite(`vscode ${round}`, 'vscode');

const skipped = counts.skipped ? `, ${counts.skipped} skipped` : '';
const left = counts.left ? ` (${counts.left} more in npm run test:full)` : '';
console.log(`\n${counts.passed} passed, ${counts.failed} failed${skipped}${left}`);
process.exit(counts.failed === 0 && counts.passed > 0 ? 0 : 1);
