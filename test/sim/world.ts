import type { Identity } from '../../daemon/team/identity.ts';
import type { Roster } from '../../daemon/team/roster.ts';
import type { PathKind } from '../../shared/protocol/shapes.ts';
import { pathKinds } from '../../shared/protocol/shapes.ts';
import { cheapCrypto } from './cheap-crypto.ts';
import { MachineClock, SimTime } from './clock.ts';
import { SimMachine } from './machine.ts';
import { Random } from './random.ts';
import { SimEnd } from './wire.ts';

interface Wire {
  kind: PathKind;
  ends: [SimEnd, SimEnd];
  /** Since when nothing is wrong with it; infinite while something is. */
  cleanSince: number;
  /** Data crawls there. */
  slow: boolean;
}

/** A path that worked this long, with both machines awake, must have brought everything that was sent before. */
const enoughMs = 8_000;
/** What a link may hold: its window, and the last message that went over it. */
const mostBuffered = (1 << 20) + (1 << 20) + (64 << 10);
/** Milliseconds between two events at most, and how many there are in a night. */
const paces = [150, 700, 2_500];
const eventsANight = 16;
/** How long a night goes on when nothing happens any more; in the second half of it data has found its path. */
const settleMs = 2.75 * enoughMs;
/** Before that, how long there is one good path among those that the night left behind. */
const goodMs = 1.3 * enoughMs;
/** After so long without a way in one direction, nobody may take the link for usable. */
const noticedMs = 5_000;

/** Two machines, the wires between them, and a bad night. Everything follows from the seed. */
export class World {
  readonly #random: Random;
  readonly #time = new SimTime();
  readonly #machines: [SimMachine, SimMachine];
  #wires: Wire[] = [];
  readonly problems: string[] = [];
  readonly trace: string[] = [];
  /** When both machines were last as they should be. */
  #wellSince = 0;
  /** Nothing happens until then; and when all that happens is over. */
  #quietUntil = 0;
  #end = 0;
  #crashes = 0;
  #events = 0;
  readonly #seen: Uint8Array[] = [];

  constructor(seed: number, identities: [Identity, Identity], roster: Roster) {
    this.#random = new Random(seed);
    const machine = (identity: Identity) =>
      new SimMachine({
        identity,
        clock: new MachineClock(this.#time, this.#random.between(0, 1e6)),
        time: this.#time,
        roster,
        report: (problem) => this.#problem(`${identity.name}: ${problem}`),
        // Keys change often enough to change in most nights; the real cipher is not needed in all of them.
        tuning: seed % 32 === 0 ? { framesPerKey: 100 } : { framesPerKey: 100, crypto: cheapCrypto },
      });
    const [a, b] = [machine(identities[0]), machine(identities[1])];
    a.other = b;
    b.other = a;
    this.#machines = [a, b];
  }

  /** One whole night. Every second one nobody crashes, and then no link may ever be lost. */
  static async night(seed: number, identities: [Identity, Identity], roster: Roster): Promise<World> {
    const world = new World(seed, identities, roster);
    await world.run(seed % 2 === 0);
    return world;
  }

  /** Lets things happen, then mends everything and expects that all is well soon, and stays as it is. */
  async run(crashes: boolean): Promise<void> {
    const pace = this.#random.pick(paces);
    const end = (eventsANight * pace) / 2;
    this.#end = end;
    const mended = end + goodMs;
    this.#traffic(mended + enoughMs / 4);
    this.#watch(mended + settleMs);
    this.#connect(this.#random.pick(pathKinds));
    const next = (): void => {
      this.#time.after(this.#random.between(20, pace), () => {
        if (this.#time.now >= end) return;
        if (this.#time.now >= this.#quietUntil) this.#event(crashes);
        next();
      });
    };
    next();
    await this.#time.runUntil(end);
    this.#note('one good path, the others stay as they are');
    this.#connect(this.#random.pick(pathKinds), false);
    await this.#time.runUntil(mended);
    this.#note('all is mended');
    const left = this.#wires.filter(({ ends }) => !ends.some((one) => one.closed));
    for (const wire of left) this.#mend(wire);
    if (left.length === 0) this.#connect('gateway');
    await this.#time.runUntil(mended + enoughMs);
    const moves = this.#moves();
    await this.#time.runUntil(mended + settleMs);
    this.#settle(moves);
  }

  /** How often data moved to another path, by machine. */
  #moves(): number[] {
    return this.#machines.map(({ mesh, other }) => mesh.figures(other?.identity.id ?? '')?.switches ?? 0);
  }

  get summary(): string {
    const [a, b] = this.#machines;
    return `${a.received}+${b.received} messages, ${a.opened}/${b.opened} opened, ${this.#crashes} crashes, ${this.#events} events`;
  }

  #settle(before: number[]): void {
    const moves = this.#moves();
    for (const [i, machine] of this.#machines.entries()) {
      const paths = machine.mesh.status(machine.other?.identity.id ?? '').candidates;
      if (paths.length > 8) this.#problem(`${machine.identity.name} has ${paths.length} paths`);
      const { identity, pending, open, mesh } = machine;
      const other = machine.other?.identity.id ?? '';
      if (!open) this.#problem(`${identity.name} has no link in the end`);
      if (machine.waiting > 0) this.#problem(`${identity.name} could not send ${machine.waiting} messages`);
      if (pending.length > 0) this.#problem(`${identity.name}: ${pending.length} messages never arrived`);
      const figures = mesh.figures(other);
      if (figures?.buffered !== 0) this.#problem(`${identity.name} still holds ${figures?.buffered} bytes`);
      if (mesh.status(other).state !== 'up')
        this.#problem(`${identity.name} is ${mesh.status(other).state} in the end`);
      // One for each that fails or comes, one for a better one after that, and one back.
      if (figures && figures.switches > 5 + 2 * this.#events) {
        this.#problem(`${identity.name} changed paths ${figures.switches} times in ${this.#events} events`);
      }
      // A path may have been avoided until now, and two may change places when both are measured anew.
      const late = (moves[i] ?? 0) - (before[i] ?? 0);
      if (late > 2) this.#problem(`${identity.name} changed paths ${late} times while nothing happened`);
      if (this.#crashes === 0 && machine.closed > 0) this.#problem(`${identity.name} lost a link, and nobody crashed`);
    }
  }

  #traffic(end: number): void {
    for (const machine of this.#machines) {
      const busy = this.#random.pick([100, 250, 600]);
      const next = (): void => {
        this.#time.after(this.#random.between(1, busy), () => {
          if (this.#time.now >= end) return;
          const big = this.#random.next();
          const size = big < 0.92 ? 200 : big < 0.995 ? 20_000 : big < 0.9995 ? 200_000 : (1 << 20) - 8;
          machine.send(this.#random.integer(0, size));
          next();
        });
      };
      next();
    }
  }

  #watch(end: number): void {
    this.#time.after(600, () => {
      const { now } = this.#time;
      const clean = Math.min(Number.POSITIVE_INFINITY, ...this.#wires.map((wire) => this.#cleanSince(wire)));
      // Whoever prefers a path that crawls gets it.
      if (this.#wires.some(({ kind, slow }) => slow && this.#preferred.has(kind))) this.#wellSince = now;
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

  #cleanSince({ ends, cleanSince }: Wire): number {
    return ends.some((end) => end.closed) ? Number.POSITIVE_INFINITY : cleanSince;
  }

  get #preferred(): Set<PathKind | null> {
    return new Set(this.#machines.map(({ preferred }) => preferred));
  }

  #event(crashes: boolean): void {
    this.#events++;
    const wire = this.#anyWire();
    const roll = this.#random.next();
    if (!wire || roll < 0.22) this.#connect(this.#random.pick(pathKinds));
    else if (roll < 0.34) this.#cut(wire);
    else if (roll < 0.48) this.#trouble(wire);
    else if (roll < 0.54) this.#slow(wire);
    else if (roll < 0.58) this.#partition();
    else if (roll < 0.67) this.#mend(wire);
    else if (roll < 0.77) this.#mischief(wire);
    else if (roll < 0.79) this.#assault(wire);
    else if (roll < 0.84) this.#burst();
    else if (roll < 0.89) this.#prefer();
    else if (roll < 0.95 || !crashes) this.#freeze();
    else this.#crash();
  }

  #burst(): void {
    const machine = this.#random.pick(this.#machines);
    this.#note(`${machine.identity.name} sends 1.25 MiB`);
    for (let i = 0; i < 80; i++) machine.send(16 << 10);
  }

  #prefer(): void {
    const machine = this.#random.pick(this.#machines);
    const kind = this.#random.pick([null, ...pathKinds]);
    this.#note(`${machine.identity.name} prefers ${kind}`);
    machine.prefer(kind);
  }

  #anyWire(): Wire | undefined {
    return this.#wires.length > 0 ? this.#random.pick(this.#wires) : undefined;
  }

  /** A new path; mostly one of the same kind that was there goes, at each side in its own time. */
  #connect(kind: PathKind, instead = this.#random.chance(0.8)): void {
    const old = this.#wires.filter((wire) => wire.kind === kind);
    if (instead) for (const wire of old) this.#cut(wire);
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
    const wire = { kind, ends, cleanSince: this.#time.now + 50, slow: false };
    this.#wires.push(wire);
    if (this.#random.chance(0.2)) this.#loseFirst(wire);
    this.#note(`${kind} comes, ${shape.delay} ms`);
    for (const side of [0, 1] as const) {
      ends[side].tap = (message) => this.#remember(message);
      this.#time.after(this.#random.between(0, 50), () => {
        const machine = this.#machines[side];
        if (!ends[side].closed) machine.mesh.addPath(machine.other?.identity.id ?? '', kind, ends[side]);
      });
    }
  }

  /** What is said first on a path is lost. */
  #loseFirst(wire: Wire): void {
    const ms = this.#random.between(50, 500);
    wire.cleanSince = this.#time.now + ms;
    const lost = () => false;
    for (const end of wire.ends) {
      end.passes = lost;
      this.#time.after(ms, () => {
        if (end.passes === lost) end.passes = () => true;
      });
    }
  }

  #cut(wire: Wire): void {
    this.#note(`${wire.kind} goes`);
    wire.cleanSince = Number.POSITIVE_INFINITY;
    this.#wires = this.#wires.filter((one) => one !== wire);
    for (const end of wire.ends) {
      // Half-open for a while: one side may learn of it much later than the other.
      const late = this.#random.chance(0.3) ? this.#random.between(0, 7_000) : this.#random.between(0, 20);
      end.trouble = 'dropped';
      this.#time.after(late, () => end.close());
    }
  }

  #trouble(wire: Wire): void {
    const kind = this.#random.pick(['held', 'dropped', 'dropped where long'] as const);
    const sides = this.#random.pick([[0], [1], [0, 1]]);
    this.#note(`${wire.kind}: ${kind} from ${sides.join(' and ')}`);
    wire.cleanSince = Number.POSITIVE_INFINITY;
    for (const side of sides) {
      const end = wire.ends[side];
      if (!end) continue;
      if (kind === 'dropped where long') end.passes = (message) => message.length < 1_000;
      else end.trouble = kind;
    }
  }

  /** Pings pass, and data crawls. */
  #slow(wire: Wire): void {
    this.#note(`${wire.kind} crawls`);
    wire.cleanSince = Number.POSITIVE_INFINITY;
    wire.slow = true;
    for (const end of wire.ends) end.rate = this.#random.between(3, 12);
  }

  /** Nothing gets through in one direction or both, for a while in which nothing else happens. */
  #partition(): void {
    const sides = this.#random.pick([[0], [1], [0, 1]]);
    const ms = Math.min(this.#random.between(200, noticedMs + 3_000), this.#end - this.#time.now);
    this.#note(`nothing gets through from ${sides.join(' and ')} for ${Math.round(ms)} ms`);
    this.#quietUntil = this.#time.now + ms;
    for (const wire of this.#wires) {
      wire.cleanSince = Number.POSITIVE_INFINITY;
      wire.ends.forEach((end, side) => {
        if (sides.includes(side)) end.trouble = 'dropped';
      });
    }
    if (ms < noticedMs || this.#wires.some(({ slow }) => slow)) return;
    const { now } = this.#time;
    this.#time.after(noticedMs, () => {
      for (const { identity, mesh, other, clock } of this.#machines) {
        const { state, rttMs, candidates } = mesh.status(other?.identity.id ?? '');
        // Where answers took long, they may take long.
        const patient = rttMs !== null && rttMs > noticedMs / 10;
        if (this.#wellSince > now || clock.frozen || state !== 'up' || patient) continue;
        const shown = candidates.map((path) => `${path.kind} ${path.state} ${path.rttMs} ms`).join(', ');
        this.#problem(`${identity.name} has not noticed that nothing gets through: ${shown}`);
      }
    });
  }

  #mend(wire: Wire): void {
    this.#note(`${wire.kind} is mended`);
    for (const end of wire.ends) end.mend();
    wire.slow = false;
    wire.cleanSince = Math.min(wire.cleanSince, this.#time.now);
  }

  /** More that is hostile than anybody puts up with: the path may be closed for it. */
  #assault(wire: Wire): void {
    this.#note(`${wire.kind}: assault`);
    wire.cleanSince = Number.POSITIVE_INFINITY;
    for (let i = 0; i < 300; i++) wire.ends[0].inject(this.#hostile());
  }

  /** A relay that repeats, alters, cuts and makes up messages. */
  #mischief(wire: Wire): void {
    this.#note(`${wire.kind}: mischief`);
    for (let i = 0; i < 20; i++) this.#random.pick(wire.ends).inject(this.#hostile());
  }

  #hostile(): Uint8Array {
    const seen = this.#seen.length > 0 ? this.#random.pick(this.#seen) : new Uint8Array(40);
    const message = Uint8Array.from(
      seen.subarray(0, this.#random.chance(0.2) ? this.#random.integer(0, 60) : undefined),
    );
    if (this.#random.chance(0.6) && message.length > 0) {
      message[this.#random.integer(0, message.length - 1)]! ^= 1 << this.#random.integer(0, 7);
    }
    return message;
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
    for (const wire of this.#wires) {
      wire.ends[side].die();
      this.#cut(wire);
    }
    machine.crash();
  }

  #problem(problem: string): void {
    if (this.problems.length < 10) this.problems.push(`${Math.round(this.#time.now)} ms: ${problem}`);
    this.#note(`PROBLEM ${problem}`);
    for (const { identity, mesh, other, waiting, pending } of this.#machines) {
      const { state, preferred, candidates } = mesh.status(other?.identity.id ?? '');
      const paths = candidates.map((path) => `${path.kind} ${path.state} ${path.rttMs} ms`).join(', ');
      const { buffered } = mesh.figures(other?.identity.id ?? '') ?? { buffered: 0 };
      const queue = `${waiting} waiting, ${pending.length} sent, ${buffered} bytes held`;
      this.#note(`  ${identity.name} ${state}, prefers ${preferred}: ${paths || 'no paths'}; ${queue}`);
    }
  }

  #note(what: string): void {
    this.trace.push(`${Math.round(this.#time.now).toString().padStart(7)} ${what}`);
  }
}
