import type { Lan } from '../lan/lan.ts';
import type { Carrier } from './carrier.ts';
import type { Signal } from './signal.ts';

/** Signals in sealed datagrams to machines on the local network. */
export class LanCarrier implements Carrier {
  readonly name = 'lan';
  readonly #lan: Pick<Lan, 'seen' | 'send'>;

  constructor(lan: Pick<Lan, 'seen' | 'send'>) {
    this.#lan = lan;
  }

  reaches(machine: string): boolean {
    return this.#lan.seen(machine);
  }

  async send(machine: string, signal: Signal): Promise<boolean> {
    return await this.#lan.send(machine, signal);
  }
}
