import type { SimTime } from '../sim/clock.ts';
import type { Random } from '../sim/random.ts';
import type { Host } from './host.ts';

/** Messages between hosts: late, in any order, lost, twice; and pairs of hosts that do not reach each other. */
export class Network {
  readonly #time: SimTime;
  readonly #random: Random;
  readonly #cuts = new Set<string>();
  loss = 0;
  doubles = 0;
  slowest = 50;

  constructor(time: SimTime, random: Random) {
    this.#time = time;
    this.#random = random;
  }

  cut(from: Host, to: Host): void {
    this.#cuts.add(`${from.id}>${to.id}`);
  }

  join(from: Host, to: Host): void {
    this.#cuts.delete(`${from.id}>${to.id}`);
  }

  joinAll(): void {
    this.#cuts.clear();
  }

  reaches(from: Host, to: Host): boolean {
    return from === to || !this.#cuts.has(`${from.id}>${to.id}`);
  }

  /** Runs at the other host when the message is there, if it gets there. */
  send(from: Host, to: Host, run: () => void): void {
    const random = this.#random;
    if (from === to) {
      this.#time.after(0, () => to.arrive(run));
      return;
    }
    for (let copies = random.chance(this.doubles) ? 2 : 1; copies > 0; copies--) {
      if (random.chance(this.loss)) continue;
      this.#time.after(
        random.chance(0.05) ? random.between(0, 40 * this.slowest) : random.between(1, this.slowest),
        () => {
          if (this.reaches(from, to)) to.arrive(run);
        },
      );
    }
  }

  /**
   * A request and its answer. `serve` runs at the other host and may answer later, or never; `done` runs at the caller's,
   * once, without an answer where none came in time.
   */
  call<A>(
    from: Host,
    to: Host,
    limitMs: number,
    serve: (answer: (value: A) => void) => void,
    done: (answer?: A) => void,
  ): void {
    let over = false;
    const finish = from.bound((value?: A) => {
      if (over) return;
      over = true;
      done(value);
    });
    from.after(limitMs, () => finish());
    this.send(from, to, () => serve((value) => this.send(to, from, () => finish(value))));
  }
}
