import { afterEach } from 'vitest';
import type { LanEvents, LanOptions } from '../../../daemon/lan/lan.ts';
import { Lan, LanGuest } from '../../../daemon/lan/lan.ts';
import type { LanGuestOptions } from '../../../daemon/lan/lan-guest.ts';
import type { Identity } from '../../../daemon/team/identity.ts';
import type { Roster } from '../../../daemon/team/roster.ts';
import { memberOf, newMachine, openStore } from '../team/machines.ts';

const open: { close(): Promise<void> }[] = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map((one) => one.close()));
});

export const quiet = { debug: () => undefined, info: () => undefined };

/** Closed after the test. */
export function closing<T extends { close(): Promise<void> }>(one: T): T {
  open.push(one);
  return one;
}

/** Machines of one team. */
export function teamOf(...names: string[]): { identities: Identity[]; roster: Roster } {
  const machines = names.map((name) => newMachine(name));
  const [first, ...others] = machines;
  const store = openStore(first!);
  for (const { identity } of others) store.append({ op: 'add', member: memberOf(identity, 'operator') });
  return { identities: machines.map(({ identity }) => identity), roster: store.current };
}

/** What a Lan told, and a way to wait for it. */
export class Told implements LanEvents {
  readonly all: string[] = [];
  readonly signals: { from: string; value: unknown }[] = [];
  readonly #waiting = new Set<{ until(): boolean; resolve(): void }>();

  found = (machine: string) => this.#tell(`found ${machine}`);
  gone = (machine: string) => this.#tell(`gone ${machine}`);
  signal = (from: string, value: unknown) => {
    this.signals.push({ from, value });
    this.#tell(`signal ${from}`);
  };
  guestSignal = (ticket: string, guest: string, value: unknown) => {
    this.signals.push({ from: guest, value });
    this.#tell(`guest ${ticket}`);
  };

  has(event: string): Promise<void> {
    return this.until(() => this.all.includes(event));
  }

  until(what: () => boolean): Promise<void> {
    if (what()) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.add({ until: what, resolve }));
  }

  #tell(event: string): void {
    this.all.push(event);
    for (const one of this.#waiting) {
      if (!one.until()) continue;
      this.#waiting.delete(one);
      one.resolve();
    }
  }
}

export function newLan(identity: Identity, roster: Roster | (() => Roster), more: Partial<LanOptions> = {}) {
  const told = new Told();
  const lan = closing(
    new Lan({
      identity,
      roster: typeof roster === 'function' ? roster : () => roster,
      log: quiet,
      tickets: () => [],
      events: told,
      ...more,
    }),
  );
  return { lan, told, identity };
}

export function newGuest(options: Pick<LanGuestOptions, 'inviterKey' | 'secret'> & Partial<LanGuestOptions>) {
  const signals: unknown[] = [];
  const guest = closing(new LanGuest({ log: quiet, signal: (value) => signals.push(value), ...options }));
  return { guest, signals };
}
