import { mkdtempSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { isatty } from 'node:tty';
import { span } from '../../../shared/duration.ts';
import { NiiaError } from '../../../shared/errors.ts';
import type { MachineInfo } from '../../../shared/protocol/shapes.ts';
import type { InstallationInfo } from '../../../shared/protocol/upgrade-methods.ts';
import { isErrno } from '../../home/files.ts';
import type { Home } from '../../home/home.ts';
import type { BundleFile } from '../../lifecycle/make-bundle.ts';
import { type Installation, installationToStart } from '../../process/installation.ts';
import type { Context, Run } from '../context.ts';
import { DaemonClient } from '../daemon-client.ts';
import { count } from '../format.ts';
import { type Output, writeBytes } from '../output.ts';
import type { Invocation } from '../spec.ts';
import type { Specs } from '../specs/all.ts';
import type { Phase, Progress, Upgraded } from '../upgrade-machine.ts';
import { installationOf, upgradeMachine } from '../upgrade-machine.ts';

/** Between two words about the progress. */
const tellEveryMs = 200;

export const upgrade: Run<Specs['upgrade']> = async (invocation, context) => {
  const { options, machine } = invocation;
  if (options.all) {
    if (machine !== undefined) throw new NiiaError('usage', '--all is every machine: name none beside it');
    await upgradeAll(invocation, context);
    return;
  }
  const bundles = new Bundles(context.home, installationToStart(context.home, 'user'));
  try {
    const outcome = await upgradeOne(context.daemon, bundles, options, context.out);
    await context.out.result(outcome, () => (outcome.rolledBack ? '' : `${told(outcome)}\n`));
    if (outcome.rolledBack) throw rolledBack(outcome);
  } finally {
    bundles.close();
  }
};

type Options = Invocation<Specs['upgrade']>['options'];

async function upgradeOne(daemon: DaemonClient, bundles: Bundles, options: Options, out: Output): Promise<Upgraded> {
  const here = await installationOf(daemon);
  const teller = new ProgressTeller(here.machine, out);
  try {
    teller.tell('preparing', 0, 0);
    const bundle = options.bundle === undefined ? await bundles.for(here) : await bundles.read(options.bundle);
    return await upgradeMachine(daemon, here, bundle, options['allow-downgrade'], teller.tell);
  } finally {
    await teller.end();
  }
}

interface Rolled extends Partial<Upgraded> {
  machine: string;
  state: 'upgraded' | 'rolled_back' | 'failed' | 'current' | 'offline' | 'not_tried';
  error?: NiiaError;
}

/** The first machine is the canary: where it fails, no other is touched. This one gives its version and is left alone. */
async function upgradeAll({ options }: Invocation<Specs['upgrade']>, context: Context): Promise<void> {
  const { home, daemon, deadline, out } = context;
  const source = installationToStart(home, 'user');
  const bundles = new Bundles(home, source);
  const { machines } = await daemon.ask('machine.list', {});
  const rolled: Rolled[] = [];
  let failure: NiiaError | undefined;
  try {
    for (const machine of machines.filter((one) => !one.self)) {
      const outcome: Rolled = failure
        ? { machine: machine.name, state: 'not_tried' }
        : await rollTo(machine, new DaemonClient(home, machine.id, deadline));
      rolled.push(outcome);
      failure ??= outcome.error;
      if (!out.json) await out.text(`${line(outcome)}\n`);
    }
  } finally {
    bundles.close();
  }
  if (out.json) await out.text(`${JSON.stringify({ machines: rolled })}\n`);
  else if (rolled.length === 0) await out.advice('The team has no other machine.');
  if (failure) throw failure;

  async function rollTo(machine: MachineInfo, client: DaemonClient): Promise<Rolled> {
    const { name } = machine;
    if (!machine.online) return { machine: name, state: 'offline' };
    try {
      const here = await installationOf(client);
      const wanted = options.bundle === undefined ? source : (await bundles.read(options.bundle)).manifest;
      if (here.version === wanted.version && here.build === wanted.build) return { machine: name, state: 'current' };
      const outcome = await upgradeOne(client, bundles, options, out);
      if (!outcome.rolledBack) return { ...outcome, state: 'upgraded' };
      return { ...outcome, state: 'rolled_back', error: rolledBack(outcome) };
    } catch (error) {
      return { machine: name, state: 'failed', error: NiiaError.from(error) };
    } finally {
      client.close();
    }
  }
}

function line({ machine, state, error, ...outcome }: Rolled): string {
  if (error) return `${machine}: ${state === 'rolled_back' ? 'rolled back' : 'failed'}: ${error.message}`;
  if (state === 'upgraded') return told({ machine, ...outcome });
  const words = { current: 'runs this version already', offline: 'offline, left as it is', not_tried: 'not tried' };
  return `${machine}: ${state === 'current' || state === 'offline' || state === 'not_tried' ? words[state] : state}`;
}

function told({ machine, from, to, sessionsKept, daemonDownMs }: Partial<Upgraded>): string {
  const what = from === to ? `${to} installed anew` : `${from} → ${to}`;
  return `${machine}: ${what}; ${count(sessionsKept ?? 0, 'session')} kept, daemon away for ${daemonDownMs} ms`;
}

function rolledBack({ machine, from, to, reason }: Upgraded): NiiaError {
  return new NiiaError(
    'failed',
    `the upgrade of ${machine} to ${to} was rolled back: ${reason ?? 'it was not well'}`,
    `${machine} runs ${from} again, with its sessions. Its upgrade.log and daemon.log tell more.`,
  );
}

/** The bundles of one command: each is made once, and removed at the end. */
class Bundles {
  readonly #folder: string;
  readonly #source: Installation;
  readonly #made = new Map<string, Promise<BundleFile>>();

  constructor(home: Home, source: Installation) {
    this.#folder = mkdtempSync(join(home.folder('versions', 'outgoing'), 'b-'));
    this.#source = source;
  }

  /**
   * The bundle of this machine's version for another: without native parts where that one has the same ones, with them
   * for a full reinstall of what it runs. Throws where this machine cannot serve it.
   */
  async for(there: InstallationInfo): Promise<BundleFile> {
    const { nativesOf } = await import('../../lifecycle/make-bundle.ts');
    const { anyTarget, ownTarget } = await import('../../lifecycle/target.ts');
    const { versions } = nativesOf(this.#source);
    const same = Object.entries(versions).every(([name, version]) => there.natives[name] === version);
    const reinstall = there.build === this.#source.build && there.target === ownTarget();
    return await this.#make(same && !reinstall ? anyTarget : there.target);
  }

  async read(file: string): Promise<BundleFile> {
    const { measure, readManifest } = await import('../../lifecycle/open-bundle.ts');
    const path = resolve(file);
    try {
      return { path, manifest: await readManifest(path), ...(await measure(path)) };
    } catch (cause) {
      if (!isErrno(cause, 'ENOENT', 'EACCES', 'EISDIR')) throw cause;
      throw new NiiaError('usage', `--bundle: ${file} cannot be read`, 'Make one with: niia bundle', { cause });
    }
  }

  close(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #make(target: string): Promise<BundleFile> {
    let made = this.#made.get(target);
    if (!made) {
      made = (async () => {
        const { makeBundle } = await import('../../lifecycle/make-bundle.ts');
        return await makeBundle(this.#source, target, join(this.#folder, target));
      })();
      this.#made.set(target, made);
    }
    return made;
  }
}

/** Progress on stderr: a line that is drawn again on a terminal, NDJSON with `--json`, else nothing. */
class ProgressTeller {
  readonly #machine: string;
  readonly #mode: 'json' | 'terminal' | 'none';
  readonly #startedAt = performance.now();
  #phase: Phase | undefined;
  #toldAt = 0;
  #writing: Promise<void> = Promise.resolve();

  constructor(machine: string, out: Output) {
    this.#machine = machine;
    this.#mode = out.json ? 'json' : isatty(2) ? 'terminal' : 'none';
  }

  readonly tell: Progress = (phase, sent, size) => {
    const now = performance.now();
    if (phase === this.#phase && now - this.#toldAt < tellEveryMs && sent < size) return;
    this.#phase = phase;
    this.#toldAt = now;
    if (this.#mode === 'json')
      this.#write(`${JSON.stringify({ progress: { machine: this.#machine, phase, sent, size } })}\n`);
    if (this.#mode === 'terminal') this.#write(`\r\x1b[K${this.#machine}: ${this.#words(phase, sent, size)}`);
  };

  async end(): Promise<void> {
    if (this.#mode === 'terminal') this.#write('\r\x1b[K');
    await this.#writing;
  }

  #words(phase: Phase, sent: number, size: number): string {
    if (phase === 'preparing') return 'making the bundle';
    if (phase === 'applying') return 'unpacking';
    if (phase === 'watching')
      return `restarting, and watching the new version (${span(performance.now() - this.#startedAt)})`;
    const part = size === 0 ? 1 : sent / size;
    const bar = '#'.repeat(Math.round(part * 30)).padEnd(30, '.');
    return `[${bar}] ${Math.round(part * 100)} % of ${(size / (1 << 20)).toFixed(1)} MB`;
  }

  #write(text: string): void {
    this.#writing = this.#writing.then(() => writeBytes(2, Buffer.from(text)));
  }
}
