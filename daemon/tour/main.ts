import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { entryPoint } from '../process/spawn.ts';

/**
 * `npm start`: two machines on this computer, joined through an embedded gateway, and a walk through the commands with
 * their real output. Everything lives in a scratch folder that goes away at the end.
 */

class Machine {
  readonly name: string;
  readonly home: string;

  constructor(scratch: string, name: string) {
    this.name = name;
    this.home = join(scratch, name);
    mkdirSync(this.home, { mode: 0o700 });
  }

  /** Runs a command of this machine and returns its standard output. Throws with its words when it fails. */
  async run(args: readonly string[]): Promise<string> {
    const child = spawn(process.execPath, [entryPoint, ...args], {
      env: { ...process.env, NIIA_HOME: this.home, NIIA_MACHINE_NAME: this.name },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let out = '';
    let errors = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      errors += text;
    });
    const [code] = await once(child, 'close');
    if (code !== 0) throw new Error(`niia ${args.join(' ')} on ${this.name} ended with ${code}: ${errors.trim()}`);
    return out;
  }

  /** Shows a command as one would type it, runs it and shows what it said. */
  async show(...args: string[]): Promise<void> {
    say(`${bold(`${this.name} $`)} niia ${args.map(quote).join(' ')}`);
    const out = await this.run(args);
    say(indented(out));
  }
}

function indented(text: string): string {
  return text.trim() === '' ? '' : `${text.trimEnd().replace(/^/gm, '    ')}\n`;
}

const colour = process.stdout.isTTY && !process.env['NO_COLOR'];

function bold(text: string): string {
  return colour ? `\u001b[1m${text}\u001b[0m` : text;
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

function quote(word: string): string {
  if (/^[\w@%+=:,./-]+$/.test(word)) return word;
  return word.includes('\r') ? `$'${word.replaceAll('\r', '\\r').replaceAll("'", "\\'")}'` : `'${word}'`;
}

async function tour(a: Machine, b: Machine): Promise<void> {
  say(bold('Two machines on this computer, one team\n'));
  say(`${a.name} starts. It embeds a gateway (WSS, on loopback) and is a team of one:\n`);
  await a.show('up');
  say(`${a.name} invites, ${b.name} joins with the one-time code:\n`);
  const code = (await a.run(['invite'])).trim();
  say(`${bold(`${a.name} $`)} niia invite\n    ${code.slice(0, 24)}…\n`);
  say(`${bold(`${b.name} $`)} niia join ${code.slice(0, 24)}…`);
  say(indented(await b.run(['join', code])));
  say('Both see each other:\n');
  await a.show('remote', 'status', 'list');
  say(`A command on ${b.name}, with its exit code and both outputs:\n`);
  await a.show('remote', 'ask', b.name, 'echo "hello from $NIIA_MACHINE_NAME"; uname -sm; git --version || true');
  say(`A session on ${b.name} that outlives windows, networks and upgrades. Type into it, wait, read its screen:\n`);
  await a.show('remote', 'new', b.name, '--name', 'main');
  await a.run(['remote', 'wait', b.name, '--match', '[$#%>] ?$', '--timeout', '20']);
  await a.show('remote', 'write', b.name, 'echo "still here: $NIIA_SESSION"\r');
  await a.run(['remote', 'wait', b.name, '--idle', '300', '--timeout', '20']);
  await a.show('remote', 'read', b.name);
  await a.show('remote', 'list', b.name);
  say(`All ways to ${b.name} stand beside each other; when one dies, the next one takes over:\n`);
  await settled(a, b);
  await a.show('remote', 'path', b.name);
}

/** The ways that take longest are found within a few seconds, where they can be. */
async function settled(a: Machine, b: Machine): Promise<void> {
  for (let look = 0; look < 20; look++) {
    const report = await a.run(['remote', 'path', b.name]);
    if (!/trying|a moment ago/.test(report)) return;
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

function whatNext(a: Machine, b: Machine): void {
  const niia = `node ${entryPoint}`;
  say(bold('Both machines stay up until you press Ctrl-C. In another terminal, try:\n'));
  say(`    export NIIA_HOME=${a.home}`);
  say(`    ${niia} remote status list`);
  say(`    ${niia} remote attach ${b.name}        # a terminal on ${b.name}; leave it with Ctrl-\\ then d`);
  say(`    ${niia} remote ask ${b.name} 'uptime'`);
  say(`    ${niia} --help\n`);
  say('In VS Code: npm run package, install the .vsix, and set "niia.home" to the folder above.\n');
}

async function untilInterrupted(): Promise<void> {
  // Something has to keep the process alive while it waits for the signal.
  const alive = setInterval(() => undefined, 60_000);
  await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM'), once(process, 'SIGHUP')]);
  clearInterval(alive);
}

const { values } = parseArgs({ options: { once: { type: 'boolean', default: false } } });
const scratch = mkdtempSync(join(tmpdir(), 'niia-'));
const machines = ['MACHINE-A', 'MACHINE-B'].map((name) => new Machine(scratch, name));
const [a, b] = machines;
if (!a || !b) throw new Error('the tour needs two machines');
let interrupted = false;
const interrupt = untilInterrupted().then(() => {
  interrupted = true;
});
let failed = false;
try {
  await Promise.race([tour(a, b), interrupt]);
  if (!values.once && !interrupted) {
    whatNext(a, b);
    await interrupt;
  }
} catch (error) {
  failed = !interrupted;
  if (failed)
    process.stderr.write(`niia: the tour stopped: ${error instanceof Error ? error.message : String(error)}\n`);
} finally {
  say(values.once && !interrupted ? 'The tour is over; both machines go down.' : '\nBoth machines go down.');
  for (const machine of [b, a]) {
    await machine.run(['down', '--sessions']).catch((error: unknown) => {
      failed = true;
      process.stderr.write(`niia: ${machine.name} did not go down: ${String(error)}\n`);
    });
  }
  rmSync(scratch, { recursive: true, force: true });
}
process.exit(failed ? 1 : 0);
