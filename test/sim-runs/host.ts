import type { SimTime } from '../sim/clock.ts';
import type { Random } from '../sim/random.ts';

/**
 * A computer: a clock that counts sleep, runs a little too fast or too slow and starts anew with each boot; and what may
 * happen to it. Whatever is to run on it while it is paused runs when it goes on, in the same order.
 */
export class Host {
  readonly id: string;
  readonly #time: SimTime;
  readonly #rate: number;
  #bootedAt: number;
  #offset: number;
  #pausedUntil = 0;
  /** What its wall clock is wrong by: nothing that must be safe may hang on it. */
  wallOff = 0;
  /** Grow with each boot, and with each start of its daemon: what belongs to an earlier one is gone. */
  #boot = 1;
  #process = 1;
  /** Its daemon runs. */
  up = true;
  /** Both at the very moment, before anything else runs there. */
  onPause: () => void = () => undefined;
  onWake: () => void = () => undefined;

  constructor(id: string, time: SimTime, random: Random) {
    this.id = id;
    this.#time = time;
    this.#rate = random.between(0.99, 1.01);
    this.#bootedAt = time.now;
    this.#offset = random.between(10_000, 1e7);
  }

  /** Milliseconds since boot. */
  now(): number {
    return (this.#time.now - this.#bootedAt) * this.#rate + this.#offset;
  }

  date(): string {
    return new Date(1.7e12 + this.#time.now + this.wallOff).toISOString();
  }

  get paused(): boolean {
    return this.#time.now < this.#pausedUntil;
  }

  /** The same, as long as the daemon of now runs; nothing after that. */
  bound<A extends unknown[]>(run: (...args: A) => void): (...args: A) => void {
    const process = this.#process;
    return (...args) => {
      if (this.up && process === this.#process) run(...args);
    };
  }

  /** Runs in its daemon after `ms` of its clock, unless that has ended before. */
  after(ms: number, run: () => void): () => void {
    return this.#timer(ms, this.bound(run));
  }

  /** Runs in its headless server after `ms` of its clock, unless the computer has booted before. */
  headlessAfter(ms: number, run: () => void): () => void {
    const boot = this.#boot;
    return this.#timer(ms, () => {
      if (boot === this.#boot) run();
    });
  }

  /** Runs in whichever daemon is there once it is not paused; not at all where there is none. */
  arrive(run: () => void): void {
    if (this.paused) this.#time.at(this.#pausedUntil, () => this.arrive(run));
    else if (this.up) run();
  }

  pause(ms: number): void {
    if (this.paused) return;
    this.onPause();
    this.#pausedUntil = this.#time.now + ms;
    const wake = () => {
      if (this.#time.now >= this.#pausedUntil) this.onWake();
    };
    this.#time.at(this.#pausedUntil, wake);
  }

  /** Its daemon is gone. */
  crash(): void {
    this.up = false;
    this.#process++;
  }

  /** All of its processes are gone, and its clock starts anew. */
  reboot(): void {
    this.crash();
    this.#boot++;
    this.#bootedAt = this.#time.now;
    this.#offset = 10_000;
  }

  #timer(ms: number, run: () => void): () => void {
    let cancelled = false;
    const fire = (): void => {
      if (cancelled) return;
      if (this.paused) this.#time.at(this.#pausedUntil, fire);
      else run();
    };
    this.#time.after(Math.max(0, ms) / this.#rate, fire);
    return () => {
      cancelled = true;
    };
  }
}
