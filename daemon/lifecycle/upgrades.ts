import { randomUUID } from 'node:crypto';
import { NiiaError } from '../../shared/errors.ts';
import type { InstallationInfo, Offer, UpgradeReport } from '../../shared/protocol/upgrade-methods.ts';
import { protocolRange } from '../../shared/protocol/version.ts';
import type { ByteSource } from '../../shared/rpc/byte-stream.ts';
import type { Principal } from '../../shared/rpc/call.ts';
import type { Home } from '../home/home.ts';
import type { Log } from '../home/log.ts';
import { type Installation, thisInstallation } from '../process/installation.ts';
import type { UpgradeJournal } from '../process/upgrade-journal.ts';
import { isFinished, readUpgrade, startSupervisor, tendUpgrade, writeUpgrade } from '../process/upgrade-journal.ts';
import type { Identity } from '../team/identity.ts';
import type { TeamStore } from '../team/team-store.ts';
import { mayInstall } from './acceptance.ts';
import { mustBeOurs } from './daemon-runner.ts';
import { Incoming } from './incoming.ts';
import { nativesOf } from './make-bundle.ts';
import { badBundle } from './manifest.ts';
import { measure } from './open-bundle.ts';
import type { SignedOffer, Statement } from './statement.ts';
import { checkOffer, signOffer } from './statement.ts';
import { anyTarget, ownTarget } from './target.ts';
import { installBundle, removeUnused } from './versions-folder.ts';

export interface UpgradesOptions {
  home: Home;
  identity: Identity;
  team: TeamStore;
  machineName: () => string;
  log: Log;
}

/** For so long nobody else may begin, after the one who began was last heard of. */
const reservedMs = 15_000;
/** Between looks at an upgrade that is being decided. */
const tendEveryMs = 500;
/** A supervisor that was started has its lock within this time. */
const supervisorStartMs = 2_000;

/** An upgrade of which the bundle is not applied yet. */
interface Slot {
  id: string;
  statement: Statement;
  asker: Principal;
  heardAt: number;
  receiving: boolean;
  applying: Promise<{ id: string }> | undefined;
}

/** Upgrades of this machine, until the supervisor takes over, and what became of them. */
export class Upgrades {
  readonly #o: UpgradesOptions;
  readonly #incoming: Incoming;
  #slot: Slot | undefined;
  #tending: NodeJS.Timeout | undefined;

  constructor(options: UpgradesOptions) {
    this.#o = options;
    this.#incoming = new Incoming(options.home);
  }

  /** Sees to an upgrade that is under way, and clears away what earlier ones left. */
  start(): void {
    this.#tend();
  }

  close(): void {
    clearTimeout(this.#tending);
  }

  installation(): InstallationInfo {
    return {
      machine: this.#o.machineName(),
      id: this.#o.identity.id,
      version: thisInstallation.version,
      build: thisInstallation.build,
      target: ownTarget(),
      natives: nativesOf(thisInstallation).versions,
      node: process.versions.node,
      protocol: protocolRange,
    };
  }

  sign(machine: string, offer: Offer, allowDowngrade: boolean): { signed: SignedOffer } {
    const { identity, team } = this.#o;
    const what = { team: team.current.team.id, machine, offer, allowDowngrade };
    return { signed: signOffer(identity, what, Date.now()) };
  }

  /**
   * Throws `busy` while another upgrade is under way, `denied`, `bad_bundle` where the machine would not run it, or
   * `failed` where this daemon is not niia's own to stop and start.
   */
  async begin(signed: SignedOffer, asker: Principal): Promise<{ id: string; offset: number }> {
    const { identity, team, log } = this.#o;
    const statement = checkOffer(signed, {
      team: team.current.team.id,
      self: identity.id,
      members: team.current.members,
      asker: { id: asker.id, local: asker.kind === 'local' },
      now: Date.now(),
    });
    mayInstall(statement, this.installation(), statement.allowDowngrade);
    await mustBeOurs(this.#o.home, this.#o.machineName());
    this.#mustBeFree(asker);
    const slot: Slot = {
      ...{ id: randomUUID(), statement, asker, heardAt: performance.now() },
      ...{ receiving: false, applying: undefined },
    };
    this.#slot = slot;
    const there = Math.min(this.#incoming.received(statement.hash), statement.size);
    try {
      await this.#incoming.checkRoom(statement.size, statement.target !== anyTarget);
    } catch (error) {
      if (this.#slot === slot) this.#slot = undefined;
      throw error;
    }
    log.info('an upgrade is offered', { by: asker.name, version: statement.version, build: statement.build });
    return { id: slot.id, offset: there };
  }

  async send(
    { id, offset }: { id: string; offset: number },
    asker: Principal,
    source: ByteSource,
    progress: (received: number) => void,
  ): Promise<{ received: number }> {
    const slot = this.#slotOf(id, asker);
    if (slot.receiving || slot.applying) throw busy(slot.asker.name);
    slot.receiving = true;
    try {
      const { hash, size } = slot.statement;
      this.#o.log.info('a bundle comes', { from: offset, size });
      const received = await this.#incoming.receive(hash, { offset, size }, source, progress);
      return { received };
    } finally {
      slot.receiving = false;
      slot.heardAt = performance.now();
    }
  }

  /** Once it resolves, the supervisor decides; what becomes of it is told by `status`. */
  async apply(id: string, asker: Principal): Promise<{ id: string }> {
    // Asked again because the answer was lost.
    if (readUpgrade(this.#o.home)?.id === id) return { id };
    const slot = this.#slotOf(id, asker);
    if (slot.receiving) throw busy(slot.asker.name);
    slot.applying ??= this.#apply(slot).catch((error: unknown) => {
      slot.applying = undefined;
      throw error;
    });
    return await slot.applying;
  }

  status(id: string): UpgradeReport {
    const nothing = { step: null, from: null, to: null, reason: null, sessionsKept: null, daemonDownMs: null };
    const journal = readUpgrade(this.#o.home);
    if (journal?.id === id) return report(journal);
    const known = this.#slot?.id === id;
    return { id, state: known ? 'receiving' : 'unknown', ...nothing };
  }

  async #apply(slot: Slot): Promise<{ id: string }> {
    const { home, log } = this.#o;
    const { id, statement, asker } = slot;
    const path = this.#incoming.path(statement.hash);
    if (this.#incoming.received(statement.hash) !== statement.size) throw badBundle('not all of it has come');
    const { hash } = await measure(path);
    if (hash !== statement.hash) {
      this.#incoming.remove(statement.hash);
      throw badBundle('what came is not what was signed');
    }
    let to: Installation;
    try {
      to = await installBundle(home, path, statement, this.installation());
    } catch (error) {
      this.#incoming.remove(statement.hash);
      throw error;
    }
    this.#incoming.remove(statement.hash);
    const journal: UpgradeJournal = {
      id,
      by: { id: asker.id, name: asker.name },
      startedAt: new Date().toISOString(),
      finishedAt: null,
      from: thisInstallation,
      to,
      step: 'prepared',
      ...{
        attempts: 0,
        baseline: null,
        byService: false,
        stoppedAt: null,
        daemonDownMs: null,
        sessionsKept: null,
        reason: null,
      },
    };
    writeUpgrade(home, journal);
    const supervisor = startSupervisor(home, journal);
    log.info('the upgrade is handed to its supervisor', { id, supervisor, to: to.entry });
    this.#slot = undefined;
    this.#tendIn(supervisorStartMs);
    return { id };
  }

  #slotOf(id: string, asker: Principal): Slot {
    const slot = this.#slot;
    if (slot?.id === id && slot.asker.id === asker.id) {
      slot.heardAt = performance.now();
      return slot;
    }
    if (slot) throw busy(slot.asker.name);
    throw new NiiaError('failed', 'this machine knows of no such upgrade: it was begun too long ago', 'Begin again.');
  }

  #mustBeFree(asker: Principal): void {
    const journal = readUpgrade(this.#o.home);
    if (journal && !isFinished(journal)) throw busy(journal.by.name);
    const slot = this.#slot;
    if (!slot) return;
    if (slot.receiving || slot.applying) throw busy(slot.asker.name);
    if (slot.asker.id !== asker.id && performance.now() - slot.heardAt < reservedMs) throw busy(slot.asker.name);
  }

  /** Looks after the supervisor until there is an outcome: a daemon that runs is who starts another one. */
  #tend(): void {
    const { home, log } = this.#o;
    try {
      const state = tendUpgrade(home);
      if (state === 'none') {
        this.#tidy().catch((error: unknown) => log.warn('old versions could not be removed', { error }));
        return;
      }
      if (state === 'started') log.warn('an upgrade had no supervisor; another one is started');
      this.#tendIn(state === 'started' ? supervisorStartMs : tendEveryMs);
    } catch (error) {
      log.error('an upgrade could not be looked after', { error });
      this.#tendIn(supervisorStartMs);
    }
  }

  async #tidy(): Promise<void> {
    this.#incoming.tidy(Date.now());
    const removed = await removeUnused(this.#o.home);
    if (removed.length > 0) this.#o.log.info('versions that nobody needs are removed', { removed });
  }

  #tendIn(ms: number): void {
    clearTimeout(this.#tending);
    this.#tending = setTimeout(() => this.#tend(), ms);
    this.#tending.unref();
  }
}

function busy(by: string): NiiaError {
  return new NiiaError('busy', `another upgrade of this machine is under way, by ${by}`, 'Try again when it is over.');
}

function report(journal: UpgradeJournal): UpgradeReport {
  const { id, step, from, to, reason, sessionsKept, daemonDownMs } = journal;
  const state = step === 'upgraded' || step === 'rolled_back' ? step : 'trying';
  const told = ({ version, build }: Installation) => ({ version, build });
  return { id, state, step, from: told(from), to: told(to), reason, sessionsKept, daemonDownMs };
}
