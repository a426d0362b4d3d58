import { NiiaError } from '../../shared/errors.ts';
import type { DaemonStatus } from '../../shared/protocol/shapes.ts';
import { isErrno } from '../home/files.ts';
import type { Home } from '../home/home.ts';
import { acquireLock } from '../home/lock.ts';
import { keepLog, Log } from '../home/log.ts';
import { processStart } from '../home/process-identity.ts';
import { logEnd, spawnDaemon, whyItEnded } from '../process/daemon-start.ts';
import type { Installation } from '../process/installation.ts';
import { afterRollback, readPointer, whileTried, writePointer } from '../process/installation.ts';
import type { UpgradeJournal, UpgradeStep } from '../process/upgrade-journal.ts';
import { isFinished, readUpgrade, writeUpgrade } from '../process/upgrade-journal.ts';
import { upgradeLock } from '../process/upgrade-lock.ts';
import { DaemonRunner, runByService } from './daemon-runner.ts';
import { type Baseline, baselineOf, whatIsMissing } from './health.ts';
import { askDaemon, daemonEntry, daemonPid, pause } from './local-daemon.ts';
import { dismiss, readyPid, takeOverVariable } from './take-over.ts';

/** The new daemon has so long to be well. */
const healthMs = 30_000;
/** It has to stay well for so long before the upgrade is decided. */
const soakMs = 1_000;
/** The old daemon, which is known to work, has so long to come back. */
const returnMs = 60_000;
/** One answer of a daemon that is well takes a few milliseconds. */
const answerMs = 5_000;
/** A first session may have to wait for a headless server to start. */
const probeMs = 20_000;
/** An upgrade at which so many supervisors ended before it was decided is given up. */
const mostAttempts = 3;

/**
 * Brings the upgrade under way to its end, and ends itself: the new daemon is started and watched, and where it is not
 * well the old one is put back. It runs from the old version's code, holds the upgrade's lock, and writes down each step
 * before the next: whoever finds the journal unfinished and the lock free starts another one, which goes on from there.
 * The headless servers and their sessions are not touched.
 */
export async function runSupervisor(home: Home): Promise<void> {
  keepLog(home.path('upgrade.log'));
  const log = new Log('upgrade');
  // The daemon's end, a closed terminal or a service that is stopped is no reason to leave it half done.
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined);
  const lock = await acquireLock(upgradeLock(home));
  if ('heldBy' in lock) {
    log.info('another supervisor works already', { pid: lock.heldBy });
    return;
  }
  try {
    const journal = readUpgrade(home);
    if (journal && !isFinished(journal)) await new Supervisor(home, journal, log).run();
  } finally {
    lock.release();
  }
}

class Supervisor {
  readonly #home: Home;
  readonly #log: Log;
  #journal: UpgradeJournal;

  constructor(home: Home, journal: UpgradeJournal, log: Log) {
    this.#home = home;
    this.#journal = journal;
    this.#log = log;
  }

  async run(): Promise<void> {
    const { attempts, step, reason } = this.#journal;
    this.#tryNote({ attempts: attempts + 1 });
    if (step === 'rolling_back') {
      await this.#rollBack(reason ?? 'it was being rolled back');
    } else if (attempts >= mostAttempts) {
      await this.#rollBack(`its supervisor ended ${attempts} times before it was decided`);
    } else {
      let sessionsKept: number;
      try {
        sessionsKept = await this.#forward();
      } catch (error) {
        this.#log.error('the upgrade fails', { error });
        await this.#rollBack(NiiaError.from(error).message);
        return;
      }
      // A version that is well is kept: where the disk has no room for saying so, the next supervisor tries again.
      this.#decidePointer();
      this.#finish('upgraded', { sessionsKept });
    }
  }

  /** Resolves with how many sessions live on, once the new version is well. */
  async #forward(): Promise<number> {
    const baseline = await this.#baseline();
    this.#switch();
    const log = logEnd(this.#home);
    const pid = this.#runsNew() ? daemonPid(this.#home) : await this.#exchange(log);
    const status = await this.#watch(pid, log, baseline);
    this.#log.info('the new version is well', { version: status.version, pid: status.pid });
    const kept = await this.#liveSessions();
    return baseline.sessions.filter((session) => kept.includes(session)).length;
  }

  /** What has to be there again afterwards; a headless server is started first, so that somebody is always left to act. */
  async #baseline(): Promise<Baseline> {
    const { baseline } = this.#journal;
    if (baseline) return baseline;
    await askDaemon(this.#home, 'machine.start', {}, probeMs);
    const status = await askDaemon(this.#home, 'daemon.status', {}, answerMs);
    const found = baselineOf(status, await this.#liveSessions());
    this.#note({ baseline: found, byService: await runByService(this.#home) });
    return found;
  }

  #switch(): void {
    const { id, from, to } = this.#journal;
    const pointer = readPointer(this.#home);
    if (pointer?.entry !== to.entry) writePointer(this.#home, whileTried(to, id, pointer, from));
    this.#step('switched');
  }

  /** The new daemon instead of the old one; its pid, where it is known. */
  async #exchange(log: number): Promise<number | undefined> {
    const runner = this.#runner();
    const ready = await this.#startNew(log);
    // A service starts its daemon itself: this one has shown that it would start.
    if (runner.byService) await dismiss(this.#home, ready);
    this.#note({ stoppedAt: this.#journal.stoppedAt ?? Date.now() });
    await runner.stop(ready);
    this.#tryNote({ step: 'stopped' });
    return runner.byService ? await runner.start(this.#journal.to) : ready;
  }

  #runner(): DaemonRunner {
    return new DaemonRunner(this.#home, this.#journal.byService, this.#log);
  }

  /** The new daemon loads its code beside the old one: what does not even start is found before anything is stopped. */
  async #startNew(log: number): Promise<number> {
    const pid = spawnDaemon(this.#home, this.#journal.to, [], { [takeOverVariable]: this.#journal.id });
    this.#step('started');
    const giveUpAt = performance.now() + healthMs;
    // Where no daemon runs any more, it has no need to wait for its turn.
    while (readyPid(this.#home) !== pid && daemonPid(this.#home) !== pid) {
      if (processStart(pid) === undefined) throw whyItEnded(this.#home, log);
      if (performance.now() > giveUpAt) {
        await dismiss(this.#home, pid);
        throw new NiiaError('failed', `the new daemon was not ready to take over within ${healthMs / 1_000} s`);
      }
      await pause();
    }
    return pid;
  }

  #runsNew(): boolean {
    return daemonEntry(this.#home) === this.#journal.to.entry;
  }

  /** Resolves once the new daemon has been well for a while; rejects with what is wrong. */
  async #watch(pid: number | undefined, log: number, baseline: Baseline): Promise<DaemonStatus> {
    const giveUpAt = performance.now() + healthMs;
    let watched = pid;
    let missing = 'it does not answer';
    let probed = false;
    let wellSince: number | undefined;
    while (performance.now() < giveUpAt) {
      if (watched === undefined || processStart(watched) === undefined) {
        // A service manager may have been quicker with one of its own.
        watched = daemonPid(this.#home);
        // A service may take a moment to start it, and starts it again where it ends.
        if (watched === undefined && !this.#runner().byService) throw whyItEnded(this.#home, log);
      }
      const found = await this.#look(baseline);
      if ('status' in found) {
        if (!probed) await this.#probe();
        probed = true;
        wellSince ??= performance.now();
        if (performance.now() - wellSince >= soakMs) return found.status;
      } else {
        missing = found.missing;
        wellSince = undefined;
      }
      await pause();
    }
    if (daemonPid(this.#home) === undefined) throw await this.#runner().whyItEnded(log);
    throw new NiiaError('failed', `the new daemon was not well within ${healthMs / 1_000} s: ${missing}`);
  }

  async #look(baseline: Baseline): Promise<{ status: DaemonStatus } | { missing: string }> {
    let status: DaemonStatus;
    try {
      status = await askDaemon(this.#home, 'daemon.status', {}, answerMs);
    } catch (error) {
      return { missing: `it does not answer: ${NiiaError.from(error).message}` };
    }
    if (!this.#runsNew()) return { missing: 'the daemon that answers is another one' };
    this.#answered();
    const missing = whatIsMissing(status, this.#journal.to, baseline);
    return missing === undefined ? { status } : { missing };
  }

  /** Starts the new headless server and has it open a terminal: whether new sessions will work is known now, not later. */
  async #probe(): Promise<void> {
    await askDaemon(this.#home, 'machine.start', {}, probeMs);
    try {
      const { output } = await askDaemon(this.#home, 'headless.probe', {}, probeMs);
      this.#log.info('a terminal of the new headless server works', { output });
    } catch (error) {
      // An older version, on purpose: it is not asked for more than it knows.
      if (!(error instanceof NiiaError) || error.code !== 'unknown_method') throw error;
      this.#log.warn('the new version cannot be asked to open a terminal', { error });
    }
  }

  async #rollBack(reason: string): Promise<void> {
    const { from } = this.#journal;
    this.#log.warn('the upgrade is rolled back', { reason });
    this.#tryNote({ step: 'rolling_back', reason });
    // Before anything is stopped: whoever starts a daemon from now on, and were it after a fall of the whole computer,
    // starts the old version.
    this.#tryWrite(() => this.#putPointerBack());
    // Where the old daemon still runs, it was not touched yet. A service must not go on starting the new one.
    if (daemonEntry(this.#home) !== from.entry) await this.#runner().stop();
    await this.#comeBack(from);
    this.#putPointerBack();
    this.#decidePointer();
    const kept = await this.#liveSessions();
    const sessionsKept =
      this.#journal.baseline?.sessions.filter((session) => kept.includes(session)).length ?? kept.length;
    this.#finish('rolled_back', { sessionsKept });
  }

  /** The old daemon runs and answers when this resolves; rejects where it does not: the next supervisor tries again. */
  async #comeBack(from: Installation): Promise<void> {
    const giveUpAt = performance.now() + returnMs;
    const log = logEnd(this.#home);
    const runner = this.#runner();
    let pid = daemonPid(this.#home) ?? (await runner.start(from));
    while (performance.now() < giveUpAt) {
      const found = await this.#runsAgain(from);
      if (found) return;
      if (pid === undefined || processStart(pid) === undefined) {
        pid = daemonPid(this.#home);
        if (pid === undefined && !runner.byService) throw whyItEnded(this.#home, log);
      }
      await pause();
    }
    throw new NiiaError('timeout', `the old daemon did not come back within ${returnMs / 1_000} s`);
  }

  async #runsAgain(from: Installation): Promise<boolean> {
    try {
      await askDaemon(this.#home, 'daemon.status', {}, answerMs);
    } catch (error) {
      this.#log.debug('the old daemon does not answer yet', { error });
      return false;
    }
    if (daemonEntry(this.#home) !== from.entry) return false;
    this.#answered();
    return true;
  }

  #answered(): void {
    const { stoppedAt, daemonDownMs } = this.#journal;
    if (stoppedAt === null || (daemonDownMs !== null && this.#journal.step !== 'rolling_back')) return;
    this.#tryNote({ daemonDownMs: Date.now() - stoppedAt });
  }

  async #liveSessions(): Promise<string[]> {
    const { sessions } = await askDaemon(this.#home, 'session.list', {}, probeMs);
    return sessions.filter((session) => session.state !== 'exited').map((session) => session.id);
  }

  #putPointerBack(): void {
    const pointer = readPointer(this.#home);
    if (pointer?.entry === this.#journal.to.entry) writePointer(this.#home, afterRollback(pointer));
  }

  /** The pointer before the journal: whoever finds the journal unfinished only looks at the daemon once more. */
  #decidePointer(): void {
    const pointer = readPointer(this.#home);
    if (pointer && pointer.pending !== null) writePointer(this.#home, { ...pointer, pending: null });
  }

  #step(step: UpgradeStep): void {
    this.#note({ step });
  }

  #finish(step: 'upgraded' | 'rolled_back', { sessionsKept }: { sessionsKept: number }): void {
    this.#note({ step, sessionsKept, finishedAt: new Date().toISOString() });
    this.#log.info(`the upgrade is over: ${step}`, { ...this.#journal });
  }

  #note(change: Partial<UpgradeJournal>): void {
    this.#journal = { ...this.#journal, ...change };
    writeUpgrade(this.#home, this.#journal);
  }

  /** While no daemon runs, one is to be started first of all: a full disk is no reason to leave the machine without. */
  #tryNote(change: Partial<UpgradeJournal>): void {
    this.#tryWrite(() => this.#note(change));
  }

  #tryWrite(write: () => void): void {
    try {
      write();
    } catch (error) {
      if (!isErrno(error)) throw error;
      this.#log.warn('the disk does not take what is noted of the upgrade', { error });
    }
  }
}
