import { createReadStream } from 'node:fs';
import { NiiaError } from '../../shared/errors.ts';
import { streams } from '../../shared/protocol/session-methods.ts';
import type { InstallationInfo, Offer, UpgradeReport } from '../../shared/protocol/upgrade-methods.ts';
import type { BundleFile } from '../lifecycle/make-bundle.ts';
import type { DaemonClient } from './daemon-client.ts';
import { away, broke, Pauses, pause } from './retry.ts';

/** How long a transfer goes on trying while no byte more arrives. */
const patienceMs = 60_000;
/** A transfer whose link broke may look alive to the other side for so long. */
const releasedMs = 20_000;
/** An upgrade is decided within this time: the new daemon's half minute, and what it takes to put the old one back. */
const decisionMs = 180_000;
const askEveryMs = 200;
/** A daemon that is being restarted may take a question and never answer it. */
const answerMs = 5_000;

export type Phase = 'preparing' | 'sending' | 'applying' | 'watching';
export type Progress = (phase: Phase, sent: number, size: number) => void;

/** What `niia upgrade --json` prints for one machine. */
export interface Upgraded {
  machine: string;
  from: string;
  to: string;
  sessionsKept: number;
  daemonDownMs: number;
  rolledBack: boolean;
  /** Why it was rolled back. */
  reason?: string;
}

/** What runs on the machine that the client's calls go to. Throws `version_mismatch` where it is too old to be asked. */
export async function installationOf(daemon: DaemonClient): Promise<InstallationInfo> {
  try {
    return await daemon.query('machine.installation', {});
  } catch (error) {
    if (!(error instanceof NiiaError) || error.code !== 'unknown_method') throw error;
    const where = daemon.machine ?? 'this machine';
    throw new NiiaError(
      'version_mismatch',
      `${error.message}; the niia that runs is too old for an upgrade by command`,
      `Install the newer version once by hand on ${where} (or here, if this machine's daemon is the old one), then there: niia down, niia up. Sessions live on.`,
      { cause: error },
    );
  }
}

/** Brings a bundle to a machine and waits until it is decided which version runs there. */
export async function upgradeMachine(
  daemon: DaemonClient,
  here: InstallationInfo,
  bundle: BundleFile,
  allowDowngrade: boolean,
  progress: Progress,
): Promise<Upgraded> {
  const { hash, size, manifest } = bundle;
  const { version, build, target, natives } = manifest;
  const offer: Offer = { hash, size, version, build, target, natives };
  const begin = async (): Promise<{ id: string; offset: number }> => {
    const what = { machine: here.id, offer, allowDowngrade };
    const { signed } = await daemon.ask('upgrade.sign', what, { to: undefined });
    return await daemon.ask('upgrade.begin', { signed });
  };
  const id = await transfer(daemon, bundle, begin, progress);
  progress('applying', size, size);
  await apply(daemon, id);
  progress('watching', size, size);
  const report = await decided(daemon, id, here.machine);
  return {
    machine: here.machine,
    from: report.from?.version ?? here.version,
    to: version,
    sessionsKept: report.sessionsKept ?? 0,
    daemonDownMs: report.daemonDownMs ?? 0,
    rolledBack: report.state === 'rolled_back',
    ...(report.reason === null ? {} : { reason: report.reason }),
  };
}

/** Sends the bundle, from where it broke off, until all of it is there; the upgrade's id. */
async function transfer(
  daemon: DaemonClient,
  { path, size }: BundleFile,
  begin: () => Promise<{ id: string; offset: number }>,
  progress: Progress,
): Promise<string> {
  const pauses = new Pauses();
  let begun = false;
  /** Our last attempt broke, and the other side may take it for one that goes on. */
  let unnoticed = false;
  /** Since when no byte has arrived. */
  let stuckSince: number | undefined;
  for (;;) {
    try {
      const { id, offset } = await begin();
      begun = true;
      unnoticed = false;
      progress('sending', offset, size);
      if (offset === size) return id;
      const call = await daemon.call('upgrade.send', { id, offset });
      call.onEvent(({ received }) => {
        stuckSince = undefined;
        pauses.reset();
        progress('sending', received, size);
      });
      const sink = call.sink(streams.input);
      const fed = (async () => {
        for await (const chunk of createReadStream(path, { start: offset })) await sink.writeAll(chunk);
        sink.end();
      })();
      // What ends the call is told by its result.
      fed.catch(() => undefined);
      const { received } = await call.result;
      if (received === size) return id;
      throw new NiiaError('link_lost', `only ${received} of ${size} bytes arrived`);
    } catch (cause) {
      const error = NiiaError.from(cause);
      const now = performance.now();
      stuckSince ??= now;
      unnoticed ||= begun && (broke(error) || away(error));
      if (!mayGoOn(error, { begun, unnoticed, stuckMs: now - stuckSince })) throw error;
    }
    await pauses.wait();
  }
}

/** Whether a transfer that failed so is tried again, after `stuckMs` without a byte. */
function mayGoOn(
  error: NiiaError,
  { begun, unnoticed, stuckMs }: { begun: boolean; unnoticed: boolean; stuckMs: number },
): boolean {
  if (broke(error) || (begun && away(error))) return stuckMs < patienceMs;
  // Where nothing of ours broke, it is another upgrade.
  return unnoticed && error.code === 'busy' && stuckMs < releasedMs;
}

async function apply(daemon: DaemonClient, id: string): Promise<void> {
  try {
    await daemon.change('upgrade.apply', { id });
  } catch (error) {
    // The daemon went before its answer was out: what became of it is asked next.
    if (!(error instanceof NiiaError) || error.code !== 'outcome_unknown') throw error;
  }
}

/** Rejects with `timeout` at the end of `--timeout`, `outcome_unknown` where nothing is told for too long. */
async function decided(daemon: DaemonClient, id: string, machine: string): Promise<UpgradeReport> {
  const giveUpAt = performance.now() + decisionMs;
  for (;;) {
    const deadlineMs = Math.min(answerMs, timeLeft(daemon, machine));
    try {
      const report = await daemon.ask('upgrade.status', { id }, { deadlineMs });
      if (report.state === 'upgraded' || report.state === 'rolled_back') return report;
      if (report.state !== 'trying') {
        throw new NiiaError('failed', `${machine} did not take the upgrade over: it is ${report.state}`, 'Try again.');
      }
    } catch (cause) {
      const error = NiiaError.from(cause);
      if (!broke(error) && !away(error) && error.code !== 'timeout') throw error;
    }
    if (performance.now() > giveUpAt) {
      throw new NiiaError(
        'outcome_unknown',
        `${machine} did not say within ${decisionMs / 1_000} s what became of the upgrade`,
        'It puts the old version back by itself where the new one is not well. See: niia remote status list',
      );
    }
    await pause(Math.min(askEveryMs, timeLeft(daemon, machine)));
  }
}

/** Of `--timeout`, in milliseconds; throws `timeout` where nothing is. */
function timeLeft(daemon: DaemonClient, machine: string): number {
  try {
    return daemon.leftMs ?? Infinity;
  } catch (cause) {
    const error = NiiaError.from(cause);
    throw new NiiaError(
      error.code,
      `the upgrade of ${machine} is under way, and not decided yet: ${error.message}`,
      'It goes on there, and puts the old version back where the new one is not well. See: niia remote status list',
      { cause },
    );
  }
}
