import { LogFile, Source } from './bulk.mjs';
import { echoScript } from './echo.mjs';
import { names } from './report.mjs';

/**
 * @typedef {import('./machines.mjs').Machine} Machine
 * @typedef {import('./machines.mjs').Pair} Pair
 * @typedef {import('./processes.mjs').Watched} Watched
 * @typedef {{ embedded: Pair, standalone: Pair, direct: Pair, p2p: Pair }} Pairs each with one kind of path in use
 * @typedef {{ scratch: import('./scratch.mjs').Scratch, yardsticks: import('./yardsticks.mjs').Yardsticks, pairs: Pairs }} Setting what is measured
 */

/**
 * The ways of niia: from a client on one machine to a session on another, or on the same one.
 * @param {Setting} setting
 * @returns {Array<{ name: string, from: Machine, to: Machine, processes: () => Watched[] }>}
 */
function routes({ pairs: { embedded, standalone, direct, p2p } }) {
  const { near } = embedded;
  const across = (/** @type {string} */ name, /** @type {Pair} */ pair) => ({
    ...{ name, from: pair.near, to: pair.far, processes: () => processesOf(pair) },
  });
  return [
    { name: names.here, from: near, to: near, processes: () => processesHere(near) },
    across(names.embedded, embedded),
    across(names.standalone, standalone),
    across(names.direct, direct),
    across(names.p2p, p2p),
  ];
}

/**
 * The processes that an output passes on its way from the far machine's session to a client on the near one.
 * @param {Pair} pair
 */
function processesOf({ near, far, gateway }) {
  const webRtc = (/** @type {string} */ label, /** @type {Machine} */ machine) => {
    const pid = machine.webRtcPid;
    return pid === undefined ? [] : [{ label, pid }];
  };
  return [
    { label: 'near daemon', pid: near.daemonPid },
    ...(gateway ? [{ label: 'gateway', pid: gateway.pid }] : []),
    ...webRtc('near WebRTC', near),
    ...webRtc('far WebRTC', far),
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
    { name: names.channel, command: yardsticks.channel(echoScript), env: scratch.env() },
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
  const channel = await newSource();
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
    { ...inTerminal, name: names.channel, source: channel, command: yardsticks.channel(channel.script), env: plain },
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
export function starts({ scratch, yardsticks, pairs }) {
  const { near } = pairs.embedded;
  return [
    { name: 'node -e 0', command: [process.execPath, '-e', '0'], env: scratch.env() },
    { name: 'niia --version', command: near.command('--version'), env: near.env },
    { name: 'niia status', command: near.command('status'), env: near.env },
    { name: 'tmux ls', command: yardsticks.tmuxList, env: yardsticks.tmuxEnv },
  ];
}
