import type { Signal } from './signal.ts';

/** Something that can take a signal to another machine while there is no path yet, or beside one. */
export interface Carrier {
  readonly name: string;
  /** Whether it is worth a try now. */
  reaches(machine: string): boolean;
  /** Whether it took it there, as far as can be known. Does not reject. */
  send(machine: string, signal: Signal): Promise<boolean>;
}

/** The first of several carriers that can, in their order. */
export class Carriers {
  readonly #all: readonly Carrier[];

  constructor(all: readonly Carrier[]) {
    this.#all = all;
  }

  reaches(machine: string): boolean {
    return this.#all.some((carrier) => carrier.reaches(machine));
  }

  async send(machine: string, signal: Signal): Promise<boolean> {
    for (const carrier of this.#all) {
      if (carrier.reaches(machine) && (await carrier.send(machine, signal))) return true;
    }
    return false;
  }
}
