/** How long an answer counts, milliseconds: programs come and go. */
const goodMs = 60_000;

/** Which programs machines lack, asked once in a while. */
export class Programs {
  readonly #ask: (machine: string, programs: string[]) => Promise<string[]>;
  readonly #answered: () => void;
  readonly #known = new Map<string, { at: number; programs: string; lacks: string[] | undefined }>();

  /** `answered`: something is known that was not. */
  constructor(ask: (machine: string, programs: string[]) => Promise<string[]>, answered: () => void) {
    this.#ask = ask;
    this.#answered = answered;
  }

  /** Which of `programs` the machine lacks; undefined while that is not known, which it will be soon where it answers. */
  lacks(machine: string, programs: readonly string[], now = performance.now()): readonly string[] | undefined {
    const wanted = [...new Set(programs)].sort();
    const name = wanted.join('\n');
    const known = this.#known.get(machine);
    if (known?.programs === name && now < known.at + goodMs) return known.lacks;
    this.#known.set(machine, { at: now, programs: name, lacks: known?.programs === name ? known.lacks : undefined });
    void this.#learn(machine, wanted, name, now);
    return this.#known.get(machine)?.lacks;
  }

  async #learn(machine: string, wanted: string[], name: string, at: number): Promise<void> {
    try {
      const lacks = await this.#ask(machine, wanted);
      this.#known.set(machine, { at, programs: name, lacks });
    } catch {
      // Asked again the next time that it matters.
      if (this.#known.get(machine)?.at === at) this.#known.delete(machine);
    }
    this.#answered();
  }
}
