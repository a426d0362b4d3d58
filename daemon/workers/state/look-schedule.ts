import { quietMs } from './judge.ts';

/** After something happened, the foreground is looked at so long later, each time after the one before. */
const afterActivity = [40, 250, 700, 1500];
const rarely = 5000;
const betweenLooks = 5;

/** When to ask the system which program is in the foreground: soon after something happened, then ever more rarely. */
export class LookSchedule {
  readonly #forever: boolean;
  #step = 0;
  #next: number | undefined;
  #quietAt: number | undefined;
  #lookedAt = Number.NEGATIVE_INFINITY;

  /** `forever`: also while nothing happens, every five seconds. */
  constructor(forever: boolean) {
    this.#forever = forever;
  }

  /** When the next look is due. */
  get next(): number | undefined {
    if (this.#next === undefined || this.#quietAt === undefined) return this.#next ?? this.#quietAt;
    return Math.min(this.#next, this.#quietAt);
  }

  due(now: number): boolean {
    return this.next !== undefined && this.next <= now;
  }

  /** Whether one more look, out of turn, costs nothing worth mentioning. */
  maySpend(now: number): boolean {
    return now - this.#lookedAt >= betweenLooks;
  }

  /** Something was typed, or written after it was quiet: another program may come to the foreground. */
  activity(now: number): void {
    this.#step = 0;
    const soon = now + (afterActivity[0] ?? 0);
    this.#next = this.#next === undefined ? soon : Math.min(this.#next, soon);
  }

  /** Output came: the foreground is looked at once more when it has ended. */
  output(now: number): void {
    if (this.#forever) this.#quietAt = now + quietMs;
  }

  looked(now: number): void {
    this.#lookedAt = now;
    if (this.#quietAt !== undefined && this.#quietAt <= now) this.#quietAt = undefined;
    if (this.#next !== undefined && this.#next > now) return;
    this.#step++;
    const delay = afterActivity[this.#step] ?? (this.#forever ? rarely : undefined);
    this.#next = delay === undefined ? undefined : now + delay;
  }
}
