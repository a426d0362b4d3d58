import { Readable } from 'node:stream';
import { NiiaError } from '../../shared/errors.ts';
import type { AttemptKey, AttemptReport, Outcome } from '../../shared/protocol/attempt-methods.ts';
import { streams } from '../../shared/protocol/session-methods.ts';
import type { CoordinatorClient } from './attempts/coordinator.ts';
import type { ScratchpadRemote } from './attempts/scratchpad.ts';
import type { HostedRun } from './hosted-run.ts';
import type { RunTeam } from './run-team.ts';
import { sendStream, timeFor } from './run-team.ts';
import type { Runs } from './runs.ts';
import type { ScratchFolder } from './scratch-folder.ts';

const askMs = 10_000;
const deliverMs = 60_000;

interface Ways<T> {
  here: (pad: ScratchFolder) => Promise<T>;
  there: (machine: string) => Promise<T>;
}

/**
 * How the attempts of this machine reach their run's coordinator: the one that answered last, then each that may be it.
 * It may be this machine.
 */
export class Coordinators implements CoordinatorClient {
  readonly #runs: Runs;
  readonly #team: RunTeam;
  /** By run, in which order they are asked: first who answered last. */
  readonly #order = new Map<string, string[]>();

  constructor(runs: Runs, team: RunTeam) {
    this.#runs = runs;
    this.#team = team;
  }

  async renew(
    key: AttemptKey,
    report: AttemptReport,
    coordinators: readonly string[],
    signal: AbortSignal,
  ): Promise<void> {
    await this.#ask(key.run, coordinators, signal, {
      here: (run, self) => run.renew(key, report, self),
      there: async (machine) => {
        const call = await this.#team.call(machine, 'run.renew', { ...key, report }, { deadlineMs: askMs });
        await call.result;
      },
    });
  }

  async deliver(
    key: AttemptKey,
    outcome: Outcome,
    text: Uint8Array,
    coordinators: readonly string[],
    signal: AbortSignal,
  ): Promise<void> {
    await this.#ask(key.run, coordinators, signal, {
      here: (run, self) => run.deliver(key, outcome, Buffer.from(text).toString(), self),
      there: async (machine) => {
        const delivery = Buffer.from(JSON.stringify({ outcome, text: Buffer.from(text).toString() }));
        const call = await this.#team.call(machine, 'run.deliver', key, { deadlineMs: timeFor(delivery.length) });
        await sendStream(call, [delivery]);
        await call.result;
      },
    });
  }

  /** The run's scratchpad at its coordinator. */
  scratchpad(key: AttemptKey, coordinators: readonly string[]): ScratchpadRemote {
    const ask = async <T>(how: Ways<T>): Promise<T> =>
      await this.#ask(key.run, coordinators, AbortSignal.timeout(deliverMs), {
        here: (run, self) => {
          run.checkHolds(key, self);
          return how.here(this.#runs.scratchpad(key.run));
        },
        there: how.there,
      });
    return {
      list: () =>
        ask({
          here: (pad) => pad.list(),
          there: async (machine) =>
            (await (await this.#team.call(machine, 'scratch.list', key, { deadlineMs: askMs })).result).files,
        }),
      get: (path) =>
        ask({
          here: (pad) => pad.read(path),
          there: async (machine) => {
            const call = await this.#team.call(machine, 'scratch.get', { ...key, path }, { deadlineMs: deliverMs });
            return Readable.from(call.source(streams.output));
          },
        }),
      put: (file, bytes) =>
        ask({
          here: (pad) => pad.write(file, bytes),
          there: async (machine) => {
            const deadlineMs = timeFor(file.size);
            const call = await this.#team.call(machine, 'scratch.put', { ...key, ...file }, { deadlineMs });
            await sendStream(call, (await bytes()) as AsyncIterable<Uint8Array>);
            await call.result;
          },
        }),
    };
  }

  async #ask<T>(
    run: string,
    coordinators: readonly string[],
    signal: AbortSignal,
    how: { here: (run: HostedRun, self: string) => Promise<T>; there: (machine: string) => Promise<T> },
  ): Promise<T> {
    const self = this.#team.self().id;
    const queue = this.#ordered(run, coordinators, self);
    const asked = new Set<string>();
    let failure = new NiiaError('offline', `no machine coordinates the run ${run}`);
    for (let machine = queue.shift(); machine !== undefined; machine = queue.shift()) {
      if (asked.has(machine)) continue;
      asked.add(machine);
      // Whoever does not answer in the time that there is, is asked last from now on.
      this.#order.set(run, [...this.#ordered(run, coordinators, self).filter((one) => one !== machine), machine]);
      signal.throwIfAborted();
      try {
        const answer = await (machine === self ? how.here(this.#runs.hosted(run), self) : how.there(machine));
        this.#order.set(run, [machine, ...this.#ordered(run, coordinators, self).filter((one) => one !== machine)]);
        return answer;
      } catch (thrown) {
        const error = NiiaError.from(thrown);
        if (error.code === 'fenced') throw error;
        failure = error;
        // Whoever is not it may know who is.
        if (error.code === 'busy' && error.hint !== undefined && coordinators.includes(error.hint)) {
          queue.unshift(error.hint);
        }
      }
    }
    throw failure;
  }

  /** This machine before others: it answers at once, and may know who coordinates. */
  #ordered(run: string, coordinators: readonly string[], self: string): string[] {
    const order = this.#order.get(run) ?? [...coordinators];
    const known = order.filter((machine) => coordinators.includes(machine));
    const others = coordinators.filter((machine) => !known.includes(machine));
    const all = [...known, ...others];
    return all[0] !== self && all.includes(self) ? [self, ...all.filter((machine) => machine !== self)] : all;
  }
}
