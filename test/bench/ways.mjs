import { LogFile, Source } from './bulk.mjs';
import { echoScript } from './echo.mjs';
import { names } from './report.mjs';

/**
 * @typedef {import('./machines.mjs').Machine} Machine
 * @typedef {import('./machines.mjs').Pair} Pair
 * @typedef {import('./processes.mjs').Watched} Watched
 * @typedef {{ scratch: import('./scratch.mjs').Scratch, yardsticks: import('./yardsticks.mjs').Yardsticks, embedded: Pair, standalone: Pair }} Setting what is measured: yardsticks, and two pairs of machines
 */

/**
 * The ways of niia: from a client on one machine to a session on another, or on the same one.
 * @param {Setting} setting
 * @returns {Array<{ name: string, from: Machine, to: Machine, processes: () => Watched[] }>}
 */
function routes({ embedded, standalone }) {
  const { near } = embedded;
  const across = (/** @type {string} */ name, /** @type {Pair} */ pair) => ({
    ...{ name, from: pair.near, to: pair.far, processes: () => processesOf(pair) },
  });
  return [
    { name: names.here, from: near, to: near, processes: () => processesHere(near) },
    across(names.embedded, embedded),
    across(names.standalone, standalone),
  ];
}

/**
 * The processes that an output passes on its way from the far machine's session to a client on the near one.
 * @param {Pair} pair
 */
function processesOf({ near, far, gateway }) {
  return [
    { label: gateway ? 'near daemon' : 'near daemon with gateway', pid: near.daemonPid },
    ...(gateway ? [gateway] : []),
    { label: 'far daemon', pid: far.daemonPid },
    { label: 'far headless', pid: far.headless.pid },
  ];
}

/** @param {Machine} machine */
function processesHere(machine) {
  return [
    { label: 'daemon', pid: machine.daemonPid },
    { label: 'headless', pid: machine.headless.pid },
  ];
}

/**
 * @param {Setting} setting
 * @returns {Promise<import('./echo.mjs').Way[]>}
 */
export async function echoWays(setting) {
  const { scratch, yardsticks } = setting;
  /** @type {import('./echo.mjs').Way[]} */
  const ways = [
    { name: names.bare, command: ['sh', '-c', echoScript], env: scratch.env() },
    { name: names.tmux, command: yardsticks.tmux(echoScript), env: yardsticks.tmuxEnv },
    { name: names.ssh, command: yardsticks.ssh(echoScript), env: scratch.env() },
  ];
  for (const { name, from, to, processes } of routes(setting)) {
    const session = `${to.name}/${await to.session(echoScript)}`;
    ways.push({ name, command: from.command('attach', session), env: from.env, processes: processes() });
  }
  return ways;
}

/**
 * @param {Setting} setting
 * @param {LogFile} log
 * @returns {Promise<import('./bulk.mjs').BulkWay[]>}
 */
export async function bulkWays(setting, log) {
  const { scratch, yardsticks } = setting;
  let made = 0;
  const newSource = () => Source.make(scratch, `turn-${++made}`, log);
  const [bare, tmux, ssh] = [await newSource(), await newSource(), await newSource()];
  const plain = scratch.env();
  const inTerminal = { terminal: true, exact: true };
  /** @type {import('./bulk.mjs').BulkWay[]} */
  const ways = [
    { ...inTerminal, name: names.bare, source: bare, command: ['sh', '-c', bare.script], env: plain },
    {
      ...{ ...inTerminal, exact: false, name: names.tmux, source: tmux },
      ...{ command: yardsticks.tmux(tmux.script), env: yardsticks.tmuxEnv },
    },
    { ...inTerminal, name: names.ssh, source: ssh, command: yardsticks.ssh(ssh.script), env: plain },
  ];
  for (const { name, from, to, processes } of routes(setting)) {
    for (const reader of ['attach', 'read']) {
      const source = await newSource();
      const session = `${to.name}/${await to.session(source.script)}`;
      const attach = reader === 'attach';
      const words = attach ? ['attach', session] : ['read', '--session', session, '--raw', '--since', '0', '--follow'];
      ways.push({
        ...{ name: `${name}, ${reader}`, terminal: attach, exact: !attach, source },
        ...{ command: from.command(...words), env: from.env, processes: processes() },
      });
    }
  }
  return ways;
}

/**
 * @param {Setting} setting
 * @returns {import('./startup.mjs').Start[]}
 */
export function starts({ scratch, yardsticks, embedded: { near } }) {
  return [
    { name: 'node -e 0', command: [process.execPath, '-e', '0'], env: scratch.env() },
    { name: 'niia --version', command: near.command('--version'), env: near.env },
    { name: 'niia status', command: near.command('status'), env: near.env },
    { name: 'tmux ls', command: yardsticks.tmuxList, env: yardsticks.tmuxEnv },
  ];
}
