/** How long an answer counts, and a failure to answer, milliseconds: programs come and go. */
const answerMs = 60_000;
const failureMs = 10_000;

interface Asked {
  until: number;
  /** Undefined while it is not known. */
  lacks: readonly string[] | undefined;
}

/** Which programs machines lack, asked once in a while. */
export class Programs {
  readonly #ask: (machine: string, programs: string[]) => Promise<string[]>;
  readonly #answered: () => void;
  readonly #now: () => number;
  /** By machine and programs. */
  readonly #asked = new Map<string, Asked>();

  /** `answered`: something is known that was not. */
  constructor(
    ask: (machine: string, programs: string[]) => Promise<string[]>,
    answered: () => void,
    now: () => number = () => performance.now(),
  ) {
    this.#ask = ask;
    this.#answered = answered;
    this.#now = now;
  }

  /** Which of `programs` the machine lacks; undefined while that is not known: it is asked, and `answered` is called. */
  lacks(machine: string, programs: readonly string[]): readonly string[] | undefined {
    const wanted = [...new Set(programs)].sort();
    const name = JSON.stringify([machine, ...wanted]);
    const now = this.#now();
    for (const [key, { until }] of this.#asked) if (until + answerMs < now) this.#asked.delete(key);
    const asked = this.#asked.get(name);
    if (asked && now < asked.until) return asked.lacks;
    // Until it answers, or fails to, nobody asks again; what was known holds meanwhile.
    this.#asked.set(name, { until: Number.POSITIVE_INFINITY, lacks: asked?.lacks });
    void this.#learn(machine, wanted, name);
    return asked?.lacks;
  }

  async #learn(machine: string, wanted: string[], name: string): Promise<void> {
    try {
      const lacks = await this.#ask(machine, wanted);
      this.#asked.set(name, { until: this.#now() + answerMs, lacks });
      this.#answered();
    } catch {
      // Nobody is told: whoever looks again later asks again.
      this.#asked.set(name, { until: this.#now() + failureMs, lacks: undefined });
    }
  }
}
