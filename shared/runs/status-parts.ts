import type { RunStatus, StatusPart, WorkerStatus } from '../protocol/run-methods.ts';
import type { TypedCall } from '../rpc/client.ts';

/** JSON of the workers in one part, about: what an event may hold is more. */
const mostJson = 128 << 10;

/** Tells a run's status to one who watches it: of its workers those that changed, in parts that an event can hold. */
export class StatusTeller {
  readonly #told = new Map<string, string>();
  #info = '';

  /** What is to be told now; none where nothing has changed. Outputs are left out: they may be larger than an event. */
  parts({ workers, ...info }: RunStatus): StatusPart[] {
    const changed: Array<{ worker: WorkerStatus; length: number }> = [];
    for (const whole of workers) {
      const worker = { ...whole, output: null };
      const json = JSON.stringify(worker);
      if (this.#told.get(worker.name) === json) continue;
      this.#told.set(worker.name, json);
      changed.push({ worker, length: json.length });
    }
    const about = JSON.stringify(info);
    if (changed.length === 0 && about === this.#info) return [];
    this.#info = about;
    const parts: WorkerStatus[][] = [[]];
    let held = 0;
    for (const { worker, length } of changed) {
      if (held + length > mostJson && held > 0) {
        parts.push([]);
        held = 0;
      }
      parts.at(-1)?.push(worker);
      held += length;
    }
    return parts.map((some, at) => ({ status: { ...info, workers: some }, more: at < parts.length - 1 }));
  }
}

/** Calls `told` with the whole status, without outputs, each time that all parts of a change have come. */
export function onStatus(call: Pick<TypedCall<'run.watch'>, 'onEvent'>, told: (status: RunStatus) => void): void {
  const workers = new Map<string, WorkerStatus>();
  call.onEvent(({ status, more }) => {
    for (const worker of status.workers) workers.set(worker.name, worker);
    if (!more) told({ ...status, workers: [...workers.values()] });
  });
}
