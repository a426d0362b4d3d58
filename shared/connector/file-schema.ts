import * as v from 'valibot';
import { durationPattern } from '../duration.ts';
import { didYouMean } from '../spelling.ts';
import { failoverReasons } from './defaults.ts';
import { mostOutputBytes } from './definition.ts';

/**
 * A connector file as it is written. What the reader takes, what editors are told (as JSON Schema) and the type of the
 * rest of the reading all come from here; the descriptions are what people see when they point at a key.
 */

export const connectorVersion = '2.0';
/** Of workers in one phase, and of turns in a dialogue. */
export const maxWorkers = 1_000;

/** Types of teams that are read, and cannot be run yet. */
export const laterTypes = ['meeting', 'mesh'] as const;

/** An object with these keys and no others; any other is named, with the nearest of these. */
function keys<const E extends v.ObjectEntries>(entries: E) {
  const schema = v.strictObject(entries, (issue) => {
    if (issue.expected === 'never') {
      const key = String(issue.path?.at(-1)?.key);
      return `unknown key "${key}"${didYouMean(key, Object.keys(entries)) || `; known here: ${Object.keys(entries).join(', ')}`}`;
    }
    return issue.expected?.startsWith('"')
      ? `the key ${issue.expected} is missing`
      : `must be an object with some of: ${Object.keys(entries).join(', ')}`;
  });
  return withoutLists(schema);
}

/** Any keys, each with one of these. */
function record<const S extends v.GenericSchema>(schema: S) {
  return withoutLists(v.record(v.string(), schema, 'must be an object'));
}

/** To valibot a list is an object as well. */
function withoutLists<const S extends v.GenericSchema>(schema: S): S {
  const run: S['~run'] = (dataset, config) =>
    schema['~run'](Array.isArray(dataset.value) ? { value: undefined } : dataset, config);
  return { ...schema, '~run': run };
}

function about<const S extends v.GenericSchema>(text: string, schema: S) {
  return v.optional(v.pipe(schema, v.description(text)));
}

const text = v.pipe(v.string(), v.minLength(1, 'must not be empty'));
const texts = v.array(text);
const oneOrMore = v.union([text, texts]);
const scalar = v.union([v.string(), v.number(), v.boolean()]);
const table = record(scalar);
const count = (from: number, to: number) =>
  v.pipe(
    v.number(),
    v.integer('must be a whole number'),
    v.minValue(from, `must be at least ${from}`),
    v.maxValue(to, `must be at most ${to}`),
  );
const whole = count(0, Number.MAX_SAFE_INTEGER);
const time = v.pipe(v.string(), v.regex(durationPattern, 'must be a time, as "500ms", "3s", "10m" or "1h"'));
const timeOrNone = v.union([time, v.literal(0, 'must be a time, as "3s" or "1h", or 0 for none')]);

export const workerNamePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;
const workerName = v.pipe(
  v.string(),
  v.regex(workerNamePattern, 'must be 1 to 100 letters, digits, dots, dashes or underscores'),
);

const scratchpad = about(
  'One folder for all workers of the run, kept in step across machines. A text is taken as true: a run has one.',
  v.union([v.boolean(), text]),
);

const sessionSchema = keys({
  worktree: about('A git worktree of this name, on a branch of its own. "{worker}" is the name of the worker.', text),
  sandbox: about(
    'No network, and writing in the working folder and the scratchpad only; refused where it cannot be had. An object allows more.',
    v.union([
      v.boolean(),
      keys({
        network: about('Whether it may use the network.', v.boolean()),
        write: about('Further folders that it may write into.', texts),
      }),
    ]),
  ),
  scratchpad,
  env: about('Variables of its environment.', table),
  permission: about("A permission mode of the worker's CLI, handed on to it.", text),
  timeout_ms: about('As limits.turn, in milliseconds.', count(1, Number.MAX_SAFE_INTEGER)),
  resume: about('The worktree of an earlier run to go on in.', text),
  cwd: about("The folder to work in, absolute or from the machine's home; the file's own folder unless given.", text),
});

const machineSchema = v.union([
  text,
  keys({
    labels: about('Labels that the machine must have (niia up --label K=V).', table),
    has: about('Programs that must be on its PATH.', oneOrMore),
    pick: about(
      'Which of several: idle, the one with the fewest live sessions; first, by name; spread, the one with the fewest workers of this run.',
      v.picklist(['idle', 'first', 'spread']),
    ),
  }),
  v.null(),
]);

const outputSchema = v.union([
  v.picklist(['text', 'json']),
  keys({
    text: about('The answer is the output; so it is unless file says otherwise.', v.literal(true)),
    file: about('A file that the worker writes, relative to its working folder: its text is the output.', text),
    json: about(
      'The text must be JSON; an object is a JSON Schema that it must satisfy.',
      v.union([v.boolean(), record(v.unknown())]),
    ),
    files: about('Files of its working folder that are handed on: names or globs.', oneOrMore),
    maxBytes: about('How long the text may be, bytes: 1 MiB unless given, 8 MiB at most.', count(1, mostOutputBytes)),
  }),
]);

const retrySchema = v.union([
  count(1, 100),
  keys({
    attempts: about('How often it is tried on one placement, the first time included.', count(1, 100)),
    backoff: about('How long to wait before the second attempt; it doubles with each.', time),
  }),
]);

const leaseSchema = keys({
  ttl: about('A machine that cannot renew freezes its worker after this time; 15s unless given.', time),
  renew: about('How often it renews; 5s unless given.', time),
  lostAfter: about('Unheard for so long, its work may go to the next placement; 30s unless given.', time),
});

const limitsSchema = keys({
  start: about('Until it is ready for its prompt; 2m unless given.', time),
  turn: about('From the prompt until the answer; 12h unless given.', time),
  stall: about('Without any output while it is busy; 0 for none, which is the default.', timeOrNone),
  total: about('For all attempts together; 48h unless given.', time),
  bytes: about('Of output on its terminal, in one attempt; 0 for none, which is the default.', whole),
  timeout_per_agent_ms: about('As turn, in milliseconds.', count(1, Number.MAX_SAFE_INTEGER)),
  max_total_agents: about('The file is refused when it has more workers.', count(1, Number.MAX_SAFE_INTEGER)),
  max_depth: about('Read, and not used yet: a worker cannot start a connector file of its own yet.', whole),
  max_cost_usd: about('Read, and not used yet: what a worker costs is not known.', v.number()),
});

/** What may stand at a worker, or as the default for those below: at their phase, or at the top. */
const settings = {
  description: about('For people.', v.string()),
  model: about('A name from models; or a CLI or a model that is known, as claude, codex, opus, ollama/llama3.', text),
  prompt: about(
    'What the worker is asked. {{inputs.NAME}}, {{workers.NAME.output.text}} (or .json, .files) and {worker} are replaced.',
    text,
  ),
  session: about('Where and how workers run.', sessionSchema),
  scratchpad,
  machine: about(
    'A machine by name, or the best of those with these labels and programs; null: the one that coordinates the run.',
    machineSchema,
  ),
  fallback: about(
    'Where to go on, in this order and each at most once, when the work fails for one of the reasons in failoverOn.',
    v.array(
      keys({
        machine: about("Unless given, the worker's own.", machineSchema),
        model: about("Unless given, the worker's own.", text),
      }),
    ),
  ),
  failoverOn: about(
    'Reasons to go on with the next fallback; all four unless given.',
    v.array(v.picklist(failoverReasons)),
  ),
  output: about('What it hands on: "text", "json", or an object.', outputSchema),
  check: about('A shell command in its working folder that must exit with 0.', text),
  retry: about(
    'How often a failure that is no reason for a fallback is tried again; once in all unless given.',
    retrySchema,
  ),
  lease: about('How long a machine may be silent. renew < ttl < lostAfter.', leaseSchema),
  limits: about('When to give up.', limitsSchema),
  sideEffects: about(
    'external: it changes what lies outside of its folder; it is never run again by itself once it was prompted.',
    v.picklist(['none', 'external']),
  ),
  capabilities: about('Read, and not used yet.', record(v.unknown())),
};

const nested = about('A connector file that this worker starts: read, and cannot be run yet.', text);

const workerSchema = keys({
  name: about('Unique in the file; after its phase, and numbered, unless given.', workerName),
  needs: about('Workers that come before it. Those of earlier phases do anyway.', oneOrMore),
  connector: nested,
  ...settings,
});
export type FileWorker = v.InferOutput<typeof workerSchema>;

const participantSchema = keys({
  id: about('Its name.', workerName),
  name: about('The same as id.', workerName),
  role: about('What it is there for, or which position it takes.', text),
  ...settings,
});
export type FileParticipant = v.InferOutput<typeof participantSchema>;

const participants = about('Who takes part.', v.pipe(v.array(participantSchema), v.minLength(1, 'must not be empty')));
const rounds = about('How often each of a dialogue speaks; 3 unless given.', count(1, maxWorkers));
const task = about('What it is all about; the prompt of workers that have none.', text);

const phaseSchema = keys({
  name: about('phase-1, phase-2 … unless given.', text),
  type: about(
    'dialogue: its participants speak in turn, each with all that was said before.',
    v.picklist(['pipeline', 'dialogue', ...laterTypes]),
  ),
  workers: about(
    'So many alike, or a list of them; one unless given.',
    v.union([
      count(1, maxWorkers),
      v.pipe(
        v.array(workerSchema),
        v.minLength(1, 'must not be empty'),
        v.maxLength(maxWorkers, `must have at most ${maxWorkers}`),
      ),
    ]),
  ),
  parallel: about(
    'How many of its workers at once; true: all of them, as it is unless given; false: one after the other.',
    v.union([v.boolean(), count(1, maxWorkers)]),
  ),
  participants,
  rounds,
  task,
  ...settings,
});
export type FilePhase = v.InferOutput<typeof phaseSchema>;

const inputSchema = v.union([
  scalar,
  v.null(),
  keys({
    default: about('Its value unless --input gives one.', scalar),
    required: about('It must be given; so it must unless there is a default.', v.boolean()),
    description: about('For people.', v.string()),
  }),
]);
export type FileInput = v.InferOutput<typeof inputSchema>;

const modelSchema = v.union([
  text,
  keys({
    command: about(
      'The program and its arguments: a list, or one text, which a shell runs where it has |, ; and the like.',
      v.union([text, v.pipe(texts, v.minLength(1, 'must not be empty'))]),
    ),
    args: about('Further arguments.', v.array(v.string())),
    env: about('Variables of its environment.', table),
    driver: about(
      'claude, codex, gemini, shell, generic, or exec: the command runs once per prompt, the prompt on its input, the answer on its output. By the program, else exec, unless given.',
      text,
    ),
  }),
]);
export type FileModel = v.InferOutput<typeof modelSchema>;

export const fileSchema = keys({
  $schema: about('For editors.', v.string()),
  connector: about('The version of this format: "2.0".', v.string()),
  name: about("The run's name; the file's unless given.", text),
  type: about(
    'pipeline: phases, one after the other. dialogue: the participants speak in turn. meeting and mesh are read, and cannot be run yet.',
    v.picklist(['pipeline', 'dialogue', ...laterTypes]),
  ),
  models: about(
    'Names for CLIs and models. primary is for workers that name none; fallback is tried where those named here cannot run.',
    record(modelSchema),
  ),
  machines: about(
    'Labels of machines. A name that no machine of the team has means whichever has these labels.',
    record(keys({ labels: about('K: V.', table) })),
  ),
  inputs: about(
    'What --input K=V may give: a default, null for one that must be given, or an object.',
    record(inputSchema),
  ),
  pipeline: about(
    'Phases of workers.',
    keys({
      phases: v.pipe(
        v.array(phaseSchema),
        v.minLength(1, 'must not be empty'),
        v.description('In the order they run.'),
      ),
      scratchpad,
    }),
  ),
  participants,
  rounds,
  task,
  agents: about(
    'Of a mesh.',
    v.array(
      keys({
        id: about('Its name.', workerName),
        name: about('The same.', workerName),
        role: about('What it is there for.', text),
        connector: nested,
        ...settings,
      }),
    ),
  ),
  communication: about(
    'Of a mesh: who may speak to whom.',
    keys({
      topology: about('mesh, star, …', text),
      any_to_any: about('Everybody to everybody.', v.boolean()),
      broadcast_channel: about('One to all.', v.union([v.boolean(), text])),
    }),
  ),
  any_to_any: about('As in communication.', v.boolean()),
  broadcast: about('Of a meeting: everybody hears everybody.', v.boolean()),
  agenda: about('Of a meeting.', v.union([text, v.array(v.union([text, record(v.unknown())]))])),
  tools: about(
    'Read, and not used yet: the servers of workers are those that their CLIs are set up with.',
    keys({ mcp: about('Names of MCP servers.', texts) }),
  ),
  coordinator: about(
    'Who looks after the run.',
    keys({
      machines: about(
        'Machines that may: when the one that does goes away, another takes over by their majority.',
        v.pipe(texts, v.minLength(1, 'must not be empty')),
      ),
    }),
  ),
  hooks: about(
    'Where events are sent.',
    v.array(
      keys({
        url: v.pipe(
          v.string(),
          v.regex(/^https?:\/\/\S+$/, 'must be an http:// or https:// address'),
          v.description('Where to.'),
        ),
        on: about('Kinds of events; all unless given.', oneOrMore),
        secret: about(
          "The variable of the daemon's environment with the secret that signs them; never the secret itself.",
          text,
        ),
      }),
    ),
  ),
  ...settings,
});
export type ConnectorFile = v.InferOutput<typeof fileSchema>;
export type FileSettings = Pick<FileWorker, keyof typeof settings>;
