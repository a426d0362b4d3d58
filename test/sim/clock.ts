import type { LinkClock } from '../../daemon/mesh/link-runner.ts';

interface Timer {
  at: number;
  order: number;
  run: () => void;
}

/** Simulated time: nothing happens between two events. Events of the same time run in the order they were made. */
export class SimTime {
  #now = 0;
  #order = 0;
  readonly #heap: Timer[] = [];

  get now(): number {
    return this.#now;
  }

  at(time: number, run: () => void): void {
    const heap = this.#heap;
    const timer = { at: Math.max(time, this.#now), order: this.#order++, run };
    let i = heap.push(timer) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!before(timer, heap[parent]!)) break;
      heap[i] = heap[parent]!;
      i = parent;
    }
    heap[i] = timer;
  }

  after(ms: number, run: () => void): void {
    this.at(this.#now + ms, run);
  }

  /** Runs all events up to `end`. Microtasks run between them, as in life. */
  async runUntil(end: number): Promise<void> {
    for (let first = this.#heap[0]; first && first.at <= end; first = this.#heap[0]) {
      this.#pop();
      this.#now = first.at;
      first.run();
      await null;
    }
    this.#now = end;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (!last || heap.length === 0) return;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, last)) break;
      heap[i] = heap[child]!;
      i = child;
    }
    heap[i] = last;
  }
}

function before(a: Timer, b: Timer): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

/** The clock of one machine, which can be stopped together with the machine, and jumps when it goes on. */
export class MachineClock implements LinkClock {
  readonly #time: SimTime;
  #offset: number;
  #frozenUntil = 0;

  constructor(time: SimTime, offset: number) {
    this.#time = time;
    this.#offset = offset;
  }

  now(): number {
    return this.#time.now + this.#offset;
  }

  after(ms: number, run: () => void): () => void {
    let cancelled = false;
    const fire = () => {
      if (cancelled) return;
      if (this.frozen) this.whenAwake(fire);
      else run();
    };
    this.#time.after(ms, fire);
    return () => {
      cancelled = true;
    };
  }

  get frozen(): boolean {
    return this.#time.now < this.#frozenUntil;
  }

  whenAwake(run: () => void): void {
    this.#time.at(this.#frozenUntil, run);
  }

  /** Stops the machine for `ms`; its clock then shows `jump` more. */
  freeze(ms: number, jump: number): void {
    if (this.frozen) return;
    this.#frozenUntil = this.#time.now + ms;
    this.#time.at(this.#frozenUntil, () => {
      this.#offset += jump;
    });
  }
}
