import { NiiaError } from '../../shared/errors.ts';
import { Log } from '../home/log.ts';
import { startFolder, terminalEnvironment } from './command.ts';
import type { RestorePlan } from './restore.ts';
import { endedAsByShutdown, environmentAgain, graceMs } from './restore.ts';
import type { Session } from './session.ts';
import type { SessionMeta } from './session-folder.ts';

/** What a session is started with. */
export interface Launch {
  name?: string | undefined;
  argv: string[];
  cwd: string;
  cols?: number | undefined;
  rows?: number | undefined;
  sizing?: SessionMeta['sizing'] | undefined;
  worker?: string | null | undefined;
  owner: string;
  /** This machine's name. */
  machine: string;
  key: string | undefined;
  plan: RestorePlan;
  /** Whether it is started again where its server ends before it does. */
  restore: boolean;
  /** The session that it is started in place of. */
  restoredFrom?: string;
  /** When the lease runs out that holds it, milliseconds since boot. */
  lease?: number | undefined;
}

export interface RestorerOptions {
  /** This machine's name. */
  machine: string;
  sessions: () => Iterable<Session>;
  /** Starts a session. */
  launch: (wanted: Launch) => Session;
}

const log = new Log('sessions');

/** Starts sessions again that are marked for it and whose server ended before they did. */
export class Restorer {
  readonly #o: RestorerOptions;
  #stopping = false;

  constructor(options: RestorerOptions) {
    this.#o = options;
  }

  /** From now on sessions end with their server. */
  stop(): void {
    this.#stopping = true;
  }

  /** What ends by itself is not started again; what a shutdown ended just before it reached this server is. */
  started(session: Session): void {
    const forget = () => {
      if (!this.#stopping && !session.folder.isGone) this.unmark(session);
    };
    void session.exited.then(() => {
      if (endedAsByShutdown(session.exit)) setTimeout(forget, graceMs).unref();
      else forget();
    });
  }

  /** It is not started again, whatever becomes of it. */
  unmark(session: Session): void {
    if (!session.meta.restore) return;
    try {
      session.noteRestore({ restore: false });
    } catch (error) {
      log.error('a session stays marked to be started again', { session: session.id, error });
    }
  }

  unmarkAll(): void {
    for (const session of this.#o.sessions()) this.unmark(session);
  }

  /** The machine, or whoever sent the signal, ends this server: the marked sessions come back with the next one. */
  takeAlong(): void {
    for (const session of this.#o.sessions()) {
      if (!session.meta.restore || session.meta.takenAlong) continue;
      try {
        session.noteRestore({ takenAlong: true });
      } catch (error) {
        log.error('a session will not be started again', { session: session.id, error });
      }
    }
  }

  /** Once: what is on record says so before it is tried. Throws where that cannot be recorded. */
  restore(before: Session): void {
    const plan = before.folder.readRestorePlan();
    before.noteRestore({ restore: false, notRestored: 'it was interrupted' });
    try {
      if (!plan) throw new NiiaError('io', 'what it was started with is not on record any more');
      const session = this.#again(before, plan);
      before.noteRestore({ restoredAs: session.id, notRestored: null });
      log.info('a session was started again', { before: before.id, session: session.id });
    } catch (error) {
      const why = NiiaError.from(error).message;
      log.warn('a session could not be started again', { session: before.id, why });
      before.noteRestore({ notRestored: why });
    }
  }

  #again(before: Session, plan: RestorePlan): Session {
    const { name, cols, rows, sizing, argv, owner, worker, cwd } = before.meta;
    const environment = environmentAgain(plan, terminalEnvironment());
    return this.#o.launch({
      ...{ cols, rows, sizing, argv, owner, worker, machine: this.#o.machine, cwd: startFolder(cwd) },
      ...{ name: name === before.id || this.#isTaken(name) ? undefined : name },
      ...{ plan: { given: plan.given, environment }, restore: true, restoredFrom: before.id, key: undefined },
    });
  }

  #isTaken(name: string): boolean {
    return [...this.#o.sessions()].some((other) => other.live && other.name === name);
  }
}
