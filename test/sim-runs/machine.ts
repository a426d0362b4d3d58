import type { Answer, Ask, CallResult } from '../../daemon/connector/core/coordinator.ts';
import type { Attempt } from '../../daemon/connector/core/decide.ts';
import type { FailReason, Lease } from '../../shared/connector/definition.ts';
import type { AttemptReport, Kept, Outcome } from '../../shared/protocol/attempt-methods.ts';
import type { Random } from '../sim/random.ts';
import type { Host } from './host.ts';

const nothing: Kept = { folder: null, branch: null };
const reasons: readonly FailReason[] = ['crash', 'failed', 'check_failed', 'quota', 'timeout', 'start_failed'];
/** An ask that is not answered by then is made again, of the next one. */
const askLimitMs = 4_000;
/** A freeze comes up to this much late. */
const freezeLateMs = 900;

type Step = 'preparing' | 'prompting' | 'working' | 'delivering' | 'over';

/** What a machine has on disk of an attempt. */
interface Saved {
  attempt: Attempt;
  lease: Lease;
  step: Step;
  submitted: boolean;
  outcome: Outcome | null;
}

/** A session in the headless server: it goes on whatever becomes of the daemon, as long as its lease holds. */
interface Session {
  epoch: number;
  /** Milliseconds of work that are left; null: it was not prompted yet. */
  left: number | null;
  /** Since when it works, by its own clock; null while it is frozen, paused or done. */
  since: number | null;
  /** Until when it may, by its own clock. */
  until: number;
  frozen: boolean;
  /** Ends what waits for the end of the work, or of the lease. */
  stopWaiting: Array<() => void>;
}

export interface MachineWorld {
  random: Random;
  /** Asks a coordinator, by its id. */
  ask(from: Host, to: string, limitMs: number, ask: Ask, done: (answer?: Answer) => void): void;
  coordinators: readonly string[];
  leaseOf(worker: string): Lease;
  /** Milliseconds that it takes until a worker could be prompted. */
  prepareMs(): number;
  /** Milliseconds that a worker works, and whether it comes to something. */
  workMs(): number;
  succeeds(): boolean;
  /** It begins or goes on to work now. */
  works(machine: Machine, attempt: Attempt): void;
  prompted(attempt: Attempt): void;
  fenced(attempt: Attempt): void;
}

/** A machine that carries out attempts: as the real one does, without folders and terminals. */
export class Machine {
  readonly host: Host;
  readonly #world: MachineWorld;
  readonly #seen = new Map<string, number>();
  readonly #saved = new Map<string, Saved>();
  readonly #sessions = new Map<string, Session>();
  /** Of this process: attempts that it looks after, and which coordinator answered last. */
  readonly #tended = new Set<string>();
  #coordinator = 0;

  constructor(host: Host, world: MachineWorld) {
    this.host = host;
    this.#world = world;
    host.onPause = () => {
      for (const session of this.#sessions.values()) this.#suspend(session);
    };
    host.onWake = () => {
      for (const [worker, session] of this.#sessions) {
        if (host.now() >= session.until) session.frozen = true;
        this.#goOn(worker, session);
      }
    };
  }

  /** The epoch under which it works on this worker at this moment. */
  worksUnder(worker: string): number | undefined {
    const session = this.#sessions.get(worker);
    return session?.since != null && !this.host.paused ? session.epoch : undefined;
  }

  get describes(): string {
    const attempts = [...this.#saved.values()].map(({ attempt, step }) => `${attempt.worker}/${attempt.epoch} ${step}`);
    return `${this.host.id}${this.host.up ? '' : ' (down)'}: ${attempts.join(', ')}`;
  }

  // What coordinators call

  begin(attempt: Attempt): CallResult {
    const seen = this.#seen.get(attempt.worker) ?? 0;
    if (attempt.epoch < seen) return { is: 'refused', why: 'fenced' };
    if (attempt.epoch > seen) {
      this.#drop(attempt.worker);
      this.#seen.set(attempt.worker, attempt.epoch);
      const lease = this.#world.leaseOf(attempt.worker);
      this.#saved.set(attempt.worker, { attempt, lease, step: 'preparing', submitted: false, outcome: null });
    }
    this.#tend(attempt.worker);
    return { is: 'done' };
  }

  end(attempt: Attempt): CallResult {
    const seen = this.#seen.get(attempt.worker) ?? 0;
    if (attempt.epoch >= seen) {
      this.#seen.set(attempt.worker, attempt.epoch);
      this.#drop(attempt.worker);
    }
    return { is: 'done', kept: this.#world.random.chance(0.5) ? nothing : { folder: null, branch: 'side' } };
  }

  // Its life

  crashed(): void {
    this.#tended.clear();
  }

  /** Its sessions are gone as well. */
  rebooted(): void {
    this.#sessions.clear();
  }

  /** Its daemon runs again. */
  started(): void {
    for (const worker of this.#saved.keys()) this.#tend(worker);
  }

  // Attempts

  /** Looks after the attempt from where it stands. */
  #tend(worker: string): void {
    const saved = this.#saved.get(worker);
    if (!saved || saved.step === 'over' || this.#tended.has(keyOf(saved))) return;
    this.#tended.add(keyOf(saved));
    const session = this.#sessions.get(worker);
    if (saved.step === 'preparing') {
      this.#sessions.set(worker, {
        ...{ epoch: saved.attempt.epoch, left: null, since: null },
        ...{ until: this.host.now() + saved.lease.ttlMs, frozen: false, stopWaiting: [] },
      });
    } else if (saved.step !== 'delivering' && !session) {
      this.#ended(saved, saved.step === 'working' ? 'crash' : 'outcome_unknown');
    } else if (session?.left === 0) this.#ended(saved, null);
    this.#renewEvery(saved);
    this.#stepOn(saved);
  }

  #stepOn(saved: Saved): void {
    if (saved.step === 'preparing') {
      this.host.after(this.#world.prepareMs(), () => this.#prepared(saved));
    } else if (saved.step === 'delivering') this.#deliver(saved);
  }

  #prepared(saved: Saved): void {
    if (!this.#isPresent(saved) || saved.step !== 'preparing') return;
    if (!this.#holds(saved)) {
      this.host.after(500, () => this.#prepared(saved));
      return;
    }
    saved.step = 'prompting';
    saved.submitted = true;
    this.#renew(saved);
  }

  /**
   * A renewal that told of the prompt was answered: it stands in the journal that there may be one, and the grant holds,
   * however long the order to begin was under way.
   */
  #mayPrompt(saved: Saved): void {
    const session = this.#sessions.get(saved.attempt.worker);
    if (saved.step !== 'prompting' || !session || !this.#holds(saved)) return;
    saved.step = 'working';
    // The same prompt is typed once.
    if (session.left === null) {
      session.left = this.#world.workMs();
      this.#world.prompted(saved.attempt);
    }
    this.#goOn(saved.attempt.worker, session);
  }

  #ended(saved: Saved, failed: FailReason | null): void {
    const { random } = this.#world;
    const reason = failed ?? (this.#world.succeeds() ? null : random.pick(reasons));
    const common = { kept: nothing, durationMs: 1 };
    saved.outcome =
      reason === null
        ? { is: 'succeeded', json: null, files: [], ...common }
        : { is: 'failed', reason, why: reason, submitted: saved.submitted, ...common };
    saved.step = 'delivering';
  }

  #deliver(saved: Saved): void {
    const { outcome, attempt } = saved;
    if (!outcome || !this.#isPresent(saved) || saved.step !== 'delivering') return;
    this.#ask({ is: 'deliver', attempt, outcome, text: `by ${this.host.id}` }, (answer) => {
      if (answer?.is === 'ok') this.#over(saved);
      else if (answer?.is === 'fenced') this.#fenced(saved);
      else this.host.after(1_000, () => this.#deliver(saved));
    });
  }

  #renewEvery(saved: Saved): void {
    if (!this.#isPresent(saved) || saved.step === 'over') return;
    this.#renew(saved);
    this.host.after(saved.lease.renewMs, () => this.#renewEvery(saved));
  }

  #renew(saved: Saved, tries = this.#world.coordinators.length): void {
    if (!this.#isPresent(saved) || saved.step === 'over') return;
    const sentAt = this.host.now();
    const { attempt, submitted } = saved;
    const report: AttemptReport = {
      ...{ step: saved.step, session: null, sessionState: null, submitted },
      ...{ frozen: this.#sessions.get(attempt.worker)?.frozen ?? false, lastLine: null },
    };
    this.#ask({ is: 'renew', attempt, report }, (answer) => {
      if (!this.#isPresent(saved)) return;
      if (answer?.is === 'fenced') this.#fenced(saved);
      else if (answer?.is === 'ok') {
        this.#putOff(attempt.worker, sentAt + saved.lease.ttlMs);
        if (submitted) this.#mayPrompt(saved);
      } else if (tries > 1) this.#renew(saved, tries - 1);
    });
  }

  /** Asks the coordinator that answered last, and after it the next one the next time. */
  #ask(ask: Ask, done: (answer?: Answer) => void): void {
    const { coordinators } = this.#world;
    const at = this.#coordinator;
    const to = coordinators[at % coordinators.length];
    if (to === undefined) return;
    this.#world.ask(this.host, to, askLimitMs, ask, (answer) => {
      if ((answer === undefined || answer.is === 'busy') && at === this.#coordinator) this.#coordinator++;
      done(answer);
    });
  }

  #fenced(saved: Saved): void {
    this.#world.fenced(saved.attempt);
    this.#over(saved);
  }

  #over(saved: Saved): void {
    if (this.#isPresent(saved)) this.#drop(saved.attempt.worker);
  }

  /** Ends whatever there is of this worker. */
  #drop(worker: string): void {
    const saved = this.#saved.get(worker);
    if (saved) saved.step = 'over';
    const session = this.#sessions.get(worker);
    if (session) this.#suspend(session);
    this.#sessions.delete(worker);
  }

  #isPresent(saved: Saved): boolean {
    return this.#saved.get(saved.attempt.worker) === saved;
  }

  // Sessions and their leases

  #holds(saved: Saved): boolean {
    const session = this.#sessions.get(saved.attempt.worker);
    return session !== undefined && !session.frozen && this.host.now() < session.until;
  }

  /** The headless server may let it work until then. */
  #putOff(worker: string, until: number): void {
    const session = this.#sessions.get(worker);
    if (!session || until <= session.until || until <= this.host.now()) return;
    session.until = until;
    session.frozen = false;
    this.#goOn(worker, session);
  }

  #goOn(worker: string, session: Session): void {
    this.#suspend(session);
    if (session.frozen) return;
    const { host } = this;
    const still = () => this.#sessions.get(worker) === session;
    const late = this.#world.random.between(0, freezeLateMs);
    session.stopWaiting.push(
      host.headlessAfter(session.until - host.now() + late, () => {
        if (!still()) return;
        session.frozen = true;
        this.#suspend(session);
      }),
    );
    if (session.left === null || session.left <= 0) return;
    session.since = host.now();
    session.stopWaiting.push(
      host.headlessAfter(session.left, () => {
        if (still()) this.#done(worker, session);
      }),
    );
    this.#world.works(this, { worker, epoch: session.epoch });
  }

  #suspend(session: Session): void {
    for (const stop of session.stopWaiting) stop();
    session.stopWaiting = [];
    if (session.since !== null && session.left !== null) {
      session.left = Math.max(1, session.left - (this.host.now() - session.since));
    }
    session.since = null;
  }

  #done(worker: string, session: Session): void {
    this.#suspend(session);
    session.left = 0;
    const saved = this.#saved.get(worker);
    if (!this.host.up || saved?.attempt.epoch !== session.epoch || saved.step !== 'working') return;
    this.#ended(saved, null);
    this.#deliver(saved);
  }
}

function keyOf({ attempt }: Saved): string {
  return `${attempt.worker}/${attempt.epoch}`;
}
