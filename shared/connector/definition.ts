import * as v from 'valibot';

/**
 * A connector file once it is read: defaults filled in, aliases resolved, each worker by itself, a dialogue as the chain
 * of its turns. Prompts are still templates. It is JSON all through: the run's journal begins with it.
 */

const text = v.string();
const names = v.array(v.string());
const table = v.record(v.string(), v.string());
const milliseconds = v.pipe(v.number(), v.integer(), v.minValue(0));
const bytes = v.pipe(v.number(), v.integer(), v.minValue(1));

/** Why an attempt came to nothing. Those of `failoverOn` lead to the next placement, the others to a retry. */
export const failReasons = [
  /** Its machine is away, and its lease has run out. */
  'offline',
  /** Its session, folder or sandbox could not be made, or its program not be started. */
  'start_failed',
  /** Its program ended in mid-work. */
  'crash',
  /** Its model refuses more work for now: by the rules of its driver. */
  'quota',
  /** Its program did the turn and says that it failed: an exit code of `exec`, a turn that broke off. */
  'failed',
  /** `check` did not exit with 0. */
  'check_failed',
  /** The output is not there, too long, or not as its schema wants it. */
  'output_invalid',
  /** One of its limits. */
  'timeout',
  /** It may or may not have been prompted. */
  'outcome_unknown',
] as const;
export const failReasonSchema = v.picklist(failReasons);
export type FailReason = v.InferOutput<typeof failReasonSchema>;

/** How to start a worker: by the driver of a known CLI, or with a command of the user's. */
export const modelSchema = v.object({
  /** As the file calls it. */
  alias: text,
  /** A worker kind of `niia new --worker`. */
  driver: text,
  /** The command line; null: the driver's own. */
  command: v.nullable(names),
  /** Further words: for the driver's own command (`--model opus`), or behind `command`. */
  args: names,
  env: table,
});
export type Model = v.InferOutput<typeof modelSchema>;

/** Which machine: by name; or the best of those that have these labels and programs. Null: the coordinator's own. */
export const machineChoiceSchema = v.nullable(
  v.variant('by', [
    v.object({ by: v.literal('name'), name: text }),
    v.object({
      by: v.literal('labels'),
      labels: table,
      /** Programs that must be on its PATH. */
      has: names,
      /** `idle`: the fewest live sessions. `first`: by name. `spread`: the fewest workers of this run. */
      pick: v.picklist(['idle', 'first', 'spread']),
    }),
  ]),
);
export type MachineChoice = v.InferOutput<typeof machineChoiceSchema>;

export const placementSchema = v.object({ machine: machineChoiceSchema, model: modelSchema });
export type Placement = v.InferOutput<typeof placementSchema>;

export const leaseSchema = v.object({
  /** The machine freezes the worker this long after the last acknowledged renewal was sent. */
  ttlMs: milliseconds,
  renewMs: milliseconds,
  /** The coordinator may grant the work to another this long after it last heard a renewal. */
  lostAfterMs: milliseconds,
});
export type Lease = v.InferOutput<typeof leaseSchema>;

export const sandboxSchema = v.object({
  network: v.boolean(),
  /** Folders that may be written besides the working folder and the scratchpad. */
  write: names,
});
export type Sandbox = v.InferOutput<typeof sandboxSchema>;

export const environmentSchema = v.object({
  /** The folder it works in, absolute or from the machine's home; null: the connector file's folder. */
  cwd: v.nullable(text),
  /** Name of a git worktree and branch of its own; `{worker}` is replaced. */
  worktree: v.nullable(text),
  sandbox: v.nullable(sandboxSchema),
  scratchpad: v.boolean(),
  env: table,
  /** A permission mode of the driver's CLI, handed on as its flag; null: the driver's default. */
  permission: v.nullable(text),
  /** A worktree of an earlier run to go on in; null: a fresh one. */
  resume: v.nullable(text),
});
export type Environment = v.InferOutput<typeof environmentSchema>;

/** The longest output that a run's journal takes. */
export const mostOutputBytes = 8 << 20;

export const outputSchema = v.object({
  /** Where the text comes from: the answer, or a file that the worker writes (relative to its working folder). */
  file: v.nullable(text),
  /** The text must be JSON; null: it need not. An object: a JSON Schema that it must satisfy. */
  json: v.nullable(v.union([v.literal(true), v.record(v.string(), v.unknown())])),
  /** Files of the working folder that are handed on: names or globs. */
  files: names,
  maxBytes: bytes,
});
export type OutputRule = v.InferOutput<typeof outputSchema>;

export const limitsSchema = v.object({
  /** From the grant until it is ready for its prompt. */
  startMs: milliseconds,
  /** From the prompt until the answer. */
  turnMs: milliseconds,
  /** Without a byte of output while it is busy; 0: none. */
  stallMs: milliseconds,
  /** All attempts together. */
  totalMs: milliseconds,
  /** Bytes of terminal output of one attempt; 0: none. */
  bytes: v.pipe(v.number(), v.integer(), v.minValue(0)),
});
export type Limits = v.InferOutput<typeof limitsSchema>;

export const workerSchema = v.object({
  /** Unique in the run. */
  name: text,
  /** A template. */
  prompt: text,
  /** Workers of the same phase that come before it. All of earlier phases do anyway. */
  needs: names,
  /** In order, each tried at most once; the first is the worker's own. Never empty. */
  placements: v.array(placementSchema),
  failoverOn: v.array(failReasonSchema),
  environment: environmentSchema,
  output: outputSchema,
  /** A shell command in its working folder that must exit with 0. */
  check: v.nullable(text),
  retry: v.object({ attempts: v.pipe(v.number(), v.integer(), v.minValue(1)), backoffMs: milliseconds }),
  lease: leaseSchema,
  limits: limitsSchema,
  /** `external`: it changes what lies outside of its folder, so it is never run again by itself after its prompt. */
  sideEffects: v.picklist(['none', 'external']),
});
export type WorkerDefinition = v.InferOutput<typeof workerSchema>;

export const phaseSchema = v.object({
  name: text,
  /** How many of its workers at once. */
  parallel: v.pipe(v.number(), v.integer(), v.minValue(1)),
  workers: v.array(workerSchema),
});
export type PhaseDefinition = v.InferOutput<typeof phaseSchema>;

export const hookSchema = v.object({
  url: text,
  /** Kinds of events; empty: all. */
  on: names,
  /** Name of the variable of the daemon's environment that holds the secret, which is never in the file. */
  secret: v.nullable(text),
});
export type Hook = v.InferOutput<typeof hookSchema>;

export const definitionSchema = v.object({
  name: text,
  /** Where the file lies: workers without a folder of their own work there. */
  folder: text,
  inputs: table,
  /** Labels that the file gives to machines. A name that no machine has means one that has these labels. */
  machines: v.record(v.string(), v.object({ labels: table })),
  phases: v.array(phaseSchema),
  /** Names of machines that may coordinate; empty: the one that the run is started on, alone. */
  coordinators: names,
  hooks: v.array(hookSchema),
});
export type RunDefinition = v.InferOutput<typeof definitionSchema>;

/** What a worker brought: `files` are names relative to its working folder. */
export const outputValueSchema = v.object({
  text,
  json: v.nullable(v.unknown()),
  files: names,
});
export type OutputValue = v.InferOutput<typeof outputValueSchema>;
