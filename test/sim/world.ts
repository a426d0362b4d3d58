import type { Identity } from '../../daemon/team/identity.ts';
import type { PathKind } from '../../shared/protocol/shapes.ts';
import { pathKinds } from '../../shared/protocol/shapes.ts';
import { cheapCrypto } from './cheap-crypto.ts';
import { MachineClock, SimTime } from './clock.ts';
import { SimMachine } from './machine.ts';
import { Random } from './random.ts';
import { teamOf } from './team.ts';
import { SimEnd } from './wire.ts';

interface Wire {
  kind: PathKind;
  ends: [SimEnd, SimEnd];
  /** Since when nothing is wrong with it; infinite while something is. */
  cleanSince: number;
}

/** A path that worked this long, with both machines awake, must have brought everything that was sent before. */
const enoughMs = 8_000;
/** What a link may hold: its window, and the last message that went over it. */
const mostBuffered = (1 << 20) + (1 << 20) + (64 << 10);

/** Two machines, the wires between them, and a bad night. Everything follows from the seed. */
export class World {
  readonly #random: Random;
  readonly #time = new SimTime();
  readonly #machines: [SimMachine, SimMachine];
  readonly #wires = new Map<PathKind, Wire>();
  readonly problems: string[] = [];
  readonly trace: string[] = [];
  /** When both machines were last as they should be. */
  #wellSince = 0;
  #crashes = 0;
  #events = 0;
  readonly #seen: Uint8Array[] = [];

  constructor(seed: number, identities: [Identity, Identity]) {
    this.#random = new Random(seed);
    const roster = teamOf(...identities);
    const machine = (identity: Identity) =>
      new SimMachine({
        identity,
        clock: new MachineClock(this.#time, this.#random.between(0, 1e6)),
        time: this.#time,
        roster,
        report: (problem) => this.#problem(`${identity.name}: ${problem}`),
        // Keys change often enough to change in most nights; the real cipher is not needed in all of them.
        tuning: seed % 16 === 0 ? { framesPerKey: 512 } : { framesPerKey: 512, crypto: cheapCrypto },
      });
    const [a, b] = [machine(identities[0]), machine(identities[1])];
    a.other = b;
    b.other = a;
    this.#machines = [a, b];
  }

  /** Lets things happen for `ms`, then mends everything and expects that all is well soon. */
  async run(ms: number, crashes: boolean): Promise<void> {
    const end = this.#time.now + ms;
    this.#traffic(end + enoughMs);
    this.#watch(end + 2 * enoughMs);
    this.#connect(this.#random.pick(pathKinds));
    const next = (): void => {
      this.#time.after(this.#random.between(50, 2_500), () => {
        if (this.#time.now >= end) return;
        this.#event(crashes);
        next();
      });
    };
    next();
    await this.#time.runUntil(end);
    this.#note('all is mended');
    for (const wire of this.#wires.values()) this.#mend(wire);
    this.#connect('gateway');
    await this.#time.runUntil(end + 3 * enoughMs);
    this.#settle();
  }

  get summary(): string {
    const [a, b] = this.#machines;
    return `${a.received}+${b.received} messages, ${a.opened}/${b.opened} opened, ${this.#crashes} crashes, ${this.#events} events`;
  }

  #settle(): void {
    for (const machine of this.#machines) {
      const { identity, pending, open, mesh } = machine;
      const other = machine.other?.identity.id ?? '';
      if (!open) this.#problem(`${identity.name} has no link in the end`);
      if (machine.waiting > 0) this.#problem(`${identity.name} could not send ${machine.waiting} messages`);
      if (pending.length > 0) this.#problem(`${identity.name}: ${pending.length} messages never arrived`);
      const figures = mesh.figures(other);
      if (figures?.buffered !== 0) this.#problem(`${identity.name} still holds ${figures?.buffered} bytes`);
      if (mesh.status(other).state !== 'up')
        this.#problem(`${identity.name} is ${mesh.status(other).state} in the end`);
      if (figures && figures.switches > 5 + 2 * this.#events) {
        this.#problem(`${identity.name} changed paths ${figures.switches} times in ${this.#events} events`);
      }
      if (this.#crashes === 0 && machine.closed > 0) this.#problem(`${identity.name} lost a link, and nobody crashed`);
    }
  }

  #traffic(end: number): void {
    for (const machine of this.#machines) {
      const busy = this.#random.pick([60, 150, 500]);
      const next = (): void => {
        this.#time.after(this.#random.between(1, busy), () => {
          if (this.#time.now >= end) return;
          const big = this.#random.next();
          const size = big < 0.9 ? 200 : big < 0.99 ? 20_000 : big < 0.999 ? 200_000 : (1 << 20) - 8;
          machine.send(this.#random.integer(0, size));
          next();
        });
      };
      next();
    }
  }

  #watch(end: number): void {
    this.#time.after(250, () => {
      const { now } = this.#time;
      const clean = Math.min(...[...this.#wires.values()].map((wire) => wire.cleanSince), Number.POSITIVE_INFINITY);
      const goodFor = now - Math.max(clean, this.#wellSince);
      for (const machine of this.#machines) {
        const { identity, pending, mesh } = machine;
        const buffered = mesh.figures(machine.other?.identity.id ?? '')?.buffered ?? 0;
        if (buffered > mostBuffered) this.#problem(`${identity.name} holds ${buffered} bytes`);
        if (goodFor < enoughMs) continue;
        const [oldest] = pending;
        if (!machine.open) this.#problem(`${identity.name} has no link after ${goodFor} good ms`);
        else if (oldest && now - oldest.at > enoughMs) {
          this.#problem(`${identity.name}: ${oldest.epoch}/${oldest.sequence} waits for ${now - oldest.at} ms`);
        }
      }
      if (now < end && this.problems.length === 0) this.#watch(end);
    });
  }

  #event(crashes: boolean): void {
    this.#events++;
    const wire = this.#anyWire();
    const roll = this.#random.next();
    if (!wire || roll < 0.25) this.#connect(this.#random.pick(pathKinds));
    else if (roll < 0.4) this.#cut(wire);
    else if (roll < 0.6) this.#trouble(wire);
    else if (roll < 0.7) this.#mend(wire);
    else if (roll < 0.85) this.#mischief(wire);
    else if (roll < 0.9) this.#burst();
    else if (roll < 0.95 || !crashes) this.#freeze();
    else this.#crash();
  }

  #burst(): void {
    const machine = this.#random.pick(this.#machines);
    this.#note(`${machine.identity.name} sends 2 MiB`);
    for (let i = 0; i < 128; i++) machine.send(16 << 10);
  }

  #anyWire(): Wire | undefined {
    const wires = [...this.#wires.values()];
    return wires.length > 0 ? this.#random.pick(wires) : undefined;
  }

  /** A new path; one of the same kind that was there goes, at each side in its own time. */
  #connect(kind: PathKind): void {
    const old = this.#wires.get(kind);
    if (old) this.#cut(old);
    const random = () => this.#random.next();
    const shape = {
      delay: this.#random.pick([0.2, 5, 30, 80]),
      jitter: this.#random.pick([0, 0.5, 10]),
      rate: this.#random.pick([2_000, 10_000, 100_000]),
    };
    const [a, b] = this.#machines;
    const ends: [SimEnd, SimEnd] = [
      new SimEnd(this.#time, a.clock, shape, random),
      new SimEnd(this.#time, b.clock, shape, random),
    ];
    SimEnd.pair(...ends);
    const wire: Wire = { kind, ends, cleanSince: this.#time.now + 50 };
    this.#wires.set(kind, wire);
    this.#note(`${kind} comes, ${shape.delay} ms`);
    for (const side of [0, 1] as const) {
      ends[side].tap = (message) => this.#remember(message);
      this.#time.after(this.#random.between(0, 50), () => {
        const machine = this.#machines[side];
        if (!ends[side].closed) machine.mesh.addPath(machine.other?.identity.id ?? '', kind, ends[side]);
      });
    }
  }

  #cut(wire: Wire): void {
    this.#note(`${wire.kind} goes`);
    wire.cleanSince = Number.POSITIVE_INFINITY;
    if (this.#wires.get(wire.kind) === wire) this.#wires.delete(wire.kind);
    for (const end of wire.ends) {
      // Half-open for a while: one side may learn of it much later than the other.
      const late = this.#random.chance(0.3) ? this.#random.between(0, 7_000) : this.#random.between(0, 20);
      end.trouble = 'dropped';
      this.#time.after(late, () => end.close());
    }
  }

  #trouble(wire: Wire): void {
    const kind = this.#random.pick(['held', 'dropped'] as const);
    const sides = this.#random.pick([[0], [1], [0, 1]]);
    this.#note(`${wire.kind}: ${kind} from ${sides.join(' and ')}`);
    wire.cleanSince = Number.POSITIVE_INFINITY;
    for (const side of sides) {
      const end = wire.ends[side];
      if (end) end.trouble = kind;
    }
  }

  #mend(wire: Wire): void {
    this.#note(`${wire.kind} is mended`);
    for (const end of wire.ends) end.mend();
    wire.cleanSince = Math.min(wire.cleanSince, this.#time.now);
  }

  /** A relay that repeats, alters, cuts and makes up messages. */
  #mischief(wire: Wire): void {
    this.#note(`${wire.kind}: mischief`);
    for (let i = 0; i < 20; i++) {
      const seen = this.#seen.length > 0 ? this.#random.pick(this.#seen) : new Uint8Array(40);
      const message = Uint8Array.from(
        seen.subarray(0, this.#random.chance(0.2) ? this.#random.integer(0, 60) : undefined),
      );
      if (this.#random.chance(0.6) && message.length > 0) {
        message[this.#random.integer(0, message.length - 1)]! ^= 1 << this.#random.integer(0, 7);
      }
      this.#random.pick(wire.ends).inject(message);
    }
  }

  #remember(message: Uint8Array): void {
    if (this.#seen.length < 100) this.#seen.push(message);
    else if (this.#random.chance(0.1)) this.#seen[this.#random.integer(0, 99)] = message;
  }

  #freeze(): void {
    const machine = this.#random.pick(this.#machines);
    const ms = this.#random.between(500, 6_000);
    const jump = this.#random.pick([0, 0, 10_000, 3_600_000]);
    this.#note(`${machine.identity.name} sleeps for ${Math.round(ms)} ms and ${jump} more`);
    machine.clock.freeze(ms, jump);
    this.#wellSince = Math.max(this.#wellSince, this.#time.now + ms);
  }

  #crash(): void {
    const side = this.#random.pick([0, 1] as const);
    const machine = this.#machines[side];
    if (machine.clock.frozen) return;
    this.#note(`${machine.identity.name} crashes`);
    this.#crashes++;
    this.#wellSince = Math.max(this.#wellSince, this.#time.now);
    for (const wire of [...this.#wires.values()]) {
      wire.ends[side].die();
      this.#cut(wire);
    }
    machine.crash();
  }

  #problem(problem: string): void {
    if (this.problems.length < 10) this.problems.push(`${Math.round(this.#time.now)} ms: ${problem}`);
    this.#note(`PROBLEM ${problem}`);
  }

  #note(what: string): void {
    this.trace.push(`${Math.round(this.#time.now).toString().padStart(7)} ${what}`);
  }
}
