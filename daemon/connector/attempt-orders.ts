import { render } from '../../shared/connector/templates.ts';
import { NiiaError } from '../../shared/errors.ts';
import type { AttemptKey, AttemptReport, AttemptSpec, Kept } from '../../shared/protocol/attempt-methods.ts';
import type { Attempt } from './core/decide.ts';
import type { MachineRef } from './core/records.ts';
import type { RunState } from './core/state.ts';
import type { AttemptMachines } from './hosted-run.ts';
import type { RunTeam } from './run-team.ts';
import { sendStream, timeFor } from './run-team.ts';

/** To end an attempt its machine puts its work in order. */
const endMs = 60_000;

/** This machine's own attempts. */
export interface AttemptsHere {
  begin(spec: AttemptSpec, prompt: Uint8Array): Promise<AttemptReport>;
  end(key: AttemptKey, why: 'cancelled' | 'fenced'): Promise<Kept>;
  lacks(programs: readonly string[]): Promise<string[]>;
}

/** Tells machines, this one among them, what to do for a run. */
export class AttemptOrders implements AttemptMachines {
  readonly #team: RunTeam;
  readonly #here: AttemptsHere;

  constructor(team: RunTeam, here: AttemptsHere) {
    this.#team = team;
    this.#here = here;
  }

  async begin(machine: MachineRef, state: RunState, attempt: Attempt): Promise<AttemptReport> {
    const self = this.#team.self().id;
    const { spec, prompt } = orderOf(state, attempt, self);
    if (machine.id === self) return await this.#here.begin(spec, prompt);
    const call = await this.#team.call(machine.id, 'attempt.begin', spec, { deadlineMs: timeFor(prompt.length) });
    await sendStream(call, [prompt]);
    return await call.result;
  }

  async end(machine: MachineRef, key: AttemptKey, why: 'cancelled' | 'fenced'): Promise<{ kept: Kept }> {
    if (machine.id === this.#team.self().id) return { kept: await this.#here.end(key, why) };
    return await (await this.#team.call(machine.id, 'attempt.end', { ...key, why }, { deadlineMs: endMs })).result;
  }

  /** Which of the programs a machine lacks. */
  async lacks(machine: string, programs: string[]): Promise<string[]> {
    if (machine === this.#team.self().id) return await this.#here.lacks(programs);
    const call = await this.#team.call(machine, 'attempt.lacks', { programs }, { deadlineMs: timeFor(0) });
    return (await call.result).lacks;
  }
}

/** What an attempt's machine has to know; `self`: who coordinates. */
function orderOf(
  state: RunState,
  { worker: name, epoch }: Attempt,
  self: string,
): { spec: AttemptSpec; prompt: Uint8Array } {
  const worker = state.workers.get(name);
  const placement = worker?.definition.placements[worker.placement];
  if (!worker || !placement) throw new NiiaError('internal', `the run ${state.run} has no worker ${name}`);
  const { definition } = state;
  const outputs = [...state.workers.values()].flatMap(({ definition: { name }, verdict }) =>
    verdict?.is === 'succeeded' ? [[name, verdict.output] as const] : [],
  );
  const { environment, output, check, lease, limits, prompt } = worker.definition;
  const voters = state.voters.filter(({ witness, id }) => !witness && id !== self).map(({ id }) => id);
  return {
    spec: {
      ...{ run: state.run, worker: name, epoch, attempt: worker.attempt, runName: definition.name },
      ...{ coordinators: [self, ...voters], folder: definition.folder },
      ...{ model: placement.model, environment, output, check, lease, limits },
    },
    prompt: Buffer.from(
      render(prompt, { worker: name, inputs: definition.inputs, outputs: Object.fromEntries(outputs) }),
    ),
  };
}
