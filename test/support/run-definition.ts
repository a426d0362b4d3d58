import type { Placement, RunDefinition, WorkerDefinition } from '../../shared/connector/definition.ts';

/** The placement on the machine of this name. */
export function placedOn(machine: string): Placement {
  return {
    machine: { by: 'name', name: machine },
    model: { alias: 'exec', driver: 'exec', command: ['true'], args: [], env: {} },
  };
}

/** A worker as a file without any extras makes it, on the machines named. */
export function workerOn(name: string, machines: string[], over: Partial<WorkerDefinition> = {}): WorkerDefinition {
  return {
    name,
    prompt: `do ${name}`,
    needs: [],
    placements: machines.map(placedOn),
    failoverOn: ['offline', 'start_failed', 'crash', 'quota'],
    environment: {
      ...{ cwd: null, worktree: null, sandbox: null, scratchpad: false, env: {}, permission: null, resume: null },
    },
    output: { file: null, json: null, files: [], maxBytes: 1 << 20 },
    check: null,
    retry: { attempts: 1, backoffMs: 0 },
    lease: { ttlMs: 15_000, renewMs: 5_000, lostAfterMs: 30_000 },
    limits: { startMs: 60_000, turnMs: 600_000, stallMs: 0, totalMs: 0, bytes: 0 },
    sideEffects: 'none',
    ...over,
  };
}

/** A run of these phases, each with room for all of its workers unless `parallel` says less. */
export function runOf(phases: WorkerDefinition[][], parallel = 100): RunDefinition {
  return {
    name: 'run',
    folder: '/folder',
    inputs: {},
    machines: {},
    phases: phases.map((workers, i) => ({ name: `phase-${i + 1}`, parallel, workers })),
    coordinators: [],
    hooks: [],
  };
}
