import { didYouMean } from '../spelling.ts';
import type { Placement, RunDefinition, WorkerDefinition } from './definition.ts';
import { turnsOf } from './dialogue.ts';
import type { DraftPhase, DraftWorker, Prompt, PromptPart } from './draft.ts';
import type { ConnectorFile, FilePhase, FileSettings, FileWorker } from './file-schema.ts';
import { connectorVersion, laterTypes } from './file-schema.ts';
import { ModelTable } from './models.ts';
import { Names, slug } from './names.ts';
import type { Problems } from './problems.ts';
import { References } from './references.ts';
import type { Level } from './settings.ts';
import { list, machineChoice, Settings, textTable } from './settings.ts';
import type { Path } from './source.ts';
import { literal } from './templates.ts';

export interface ReadOptions {
  /** As people call it: it stands before each problem, and the run has its name where the file gives none. */
  file: string;
  /** Where it lies. */
  folder: string;
  /** `--input K=V`. */
  inputs?: Readonly<Record<string, string>>;
  /** It shall be looked at, not run: that a prompt or an input is missing is a warning then. */
  draft?: boolean;
}

/** An input without which the file cannot be run. */
export interface MissingInput {
  name: string;
  description: string | undefined;
}

export interface Resolved {
  definition: RunDefinition | undefined;
  notYet: string | undefined;
  missingInputs: MissingInput[];
}

/** What a file of the right form means. What is wrong with it is among the problems afterwards. */
export function resolve(file: ConnectorFile, options: ReadOptions, problems: Problems): Resolved {
  if (!checkVersion(file, problems)) return { definition: undefined, notYet: undefined, missingInputs: [] };
  warnOfUnused(file, problems);
  const models = new ModelTable(file.models ?? {});
  for (const name of Object.keys(file.models ?? {})) {
    const found = models.resolve(name);
    if ('problem' in found) problems.at(['models', name], found.problem);
  }
  const later = laterTypes.find((type) => type === file.type);
  if (later !== undefined) {
    checkMembers(file, models, problems);
    return { definition: undefined, notYet: `a ${later} cannot be run yet`, missingInputs: [] };
  }
  return new Resolver(file, options, models, problems).resolve();
}

function checkVersion({ connector }: ConnectorFile, problems: Problems): boolean {
  if (connector === undefined) {
    problems.warn([], `"connector": "${connectorVersion}" is missing; it is read as that`);
    return true;
  }
  if (connector === connectorVersion) return true;
  const later =
    /^\d+(\.\d+)*$/.test(connector) && connector.localeCompare(connectorVersion, 'en', { numeric: true }) > 0;
  problems.at(
    ['connector'],
    later
      ? `a connector file of version ${connector} needs a niia that reads ${connector}; this one reads ${connectorVersion}`
      : `"${connector}" is no version that is read; this niia reads "${connectorVersion}"`,
  );
  return false;
}

/** Keys that mean something in files of some types only. */
const onlyOf = {
  participants: ['dialogue', 'meeting'],
  rounds: ['dialogue', 'meeting'],
  agents: ['mesh'],
  communication: ['mesh'],
  any_to_any: ['mesh'],
  broadcast: ['meeting'],
  agenda: ['meeting'],
};

function warnOfUnused(file: ConnectorFile, problems: Problems): void {
  if (file.tools?.mcp !== undefined) {
    problems.warn(
      ['tools', 'mcp'],
      'not used yet: workers have the MCP servers that their CLIs are set up with',
      'key',
    );
  }
  for (const [key, types] of Object.entries(onlyOf)) {
    const type = file.type ?? 'pipeline';
    if (file[key as keyof typeof onlyOf] === undefined || types.includes(type)) continue;
    problems.warn([key], `not used: it is for "type": "${types.join('" or "')}"`, 'key');
  }
  const unused = (settings: FileSettings, path: Path) => {
    if (settings.capabilities) problems.warn([...path, 'capabilities'], 'not used yet', 'key');
    for (const key of ['max_depth', 'max_cost_usd'] as const) {
      if (settings.limits?.[key] !== undefined) problems.warn([...path, 'limits', key], 'not used yet', 'key');
    }
  };
  unused(file, []);
  for (const key of ['participants', 'agents'] as const) {
    for (const [index, member] of (file[key] ?? []).entries()) unused(member, [key, index]);
  }
  for (const [index, phase] of (file.pipeline?.phases ?? []).entries()) {
    const path = ['pipeline', 'phases', index];
    unused(phase, path);
    const below = {
      workers: Array.isArray(phase.workers) ? phase.workers : [],
      participants: phase.participants ?? [],
    };
    for (const [key, members] of Object.entries(below)) {
      for (const [at, member] of members.entries()) unused(member, [...path, key, at]);
    }
  }
}

/** Of a meeting or a mesh, as far as that is known before they can be run. */
function checkMembers(file: ConnectorFile, models: ModelTable, problems: Problems): void {
  for (const key of ['participants', 'agents'] as const) {
    for (const [index, { model }] of (file[key] ?? []).entries()) {
      const found = model === undefined ? undefined : models.resolve(model);
      if (found && 'problem' in found) problems.at([key, index, 'model'], found.problem);
    }
  }
}

class Resolver {
  readonly #file: ConnectorFile;
  readonly #options: ReadOptions;
  readonly #models: ModelTable;
  readonly #problems: Problems;
  readonly #names: Names;
  readonly #top: Level;
  /** The file's task, or that of `--input task=…`. */
  readonly #task: PromptPart | undefined;
  readonly #missingInputs: MissingInput[] = [];
  #notYet: string | undefined;

  constructor(file: ConnectorFile, options: ReadOptions, models: ModelTable, problems: Problems) {
    this.#file = file;
    this.#options = options;
    this.#models = models;
    this.#problems = problems;
    this.#names = new Names(givenNames(file, problems));
    this.#top = { settings: file, path: [] };
    if (this.#taskIsInput) this.#task = { text: '{{inputs.task}}', path: [] };
    else if (file.task !== undefined) this.#task = { text: file.task, path: ['task'] };
  }

  resolve(): Resolved {
    const inputs = this.#inputs();
    const drafts = this.#phases();
    const workers = drafts.map((phase) => phase.workers.map((draft) => this.#worker(draft)));
    const rules = new Map(workers.flat().map((worker) => [worker.name, worker]));
    const references = new References(drafts, rules, new Set(Object.keys(inputs)), this.#problems);
    references.check();
    const total = rules.size;
    const most = this.#file.limits?.max_total_agents;
    if (most !== undefined && total > most) {
      this.#problems.at(['limits', 'max_total_agents'], `there are ${total} workers, and at most ${most} may be`);
    }
    const phases = drafts.map(({ name, parallel, workers: own }, index) => ({
      name,
      parallel,
      workers: (workers[index] ?? []).map((worker, at) => {
        const draft = own[at];
        return draft ? { ...worker, needs: references.needsOf(draft) } : worker;
      }),
    }));
    const found = { notYet: this.#notYet, missingInputs: this.#missingInputs };
    if (this.#problems.any || this.#notYet !== undefined) return { definition: undefined, ...found };
    const { machines, coordinator, hooks } = this.#file;
    const definition: RunDefinition = {
      name: this.#name,
      folder: this.#options.folder,
      inputs,
      machines: Object.fromEntries(
        Object.entries(machines ?? {}).map(([name, { labels }]) => [name, { labels: textTable(labels ?? {}) }]),
      ),
      phases,
      coordinators: [...new Set(coordinator?.machines ?? [])],
      hooks: (hooks ?? []).map(({ url, on, secret }) => ({ url, on: list(on), secret: secret ?? null })),
    };
    return { definition, ...found };
  }

  get #name(): string {
    const base = this.#options.file.replace(/^.*[\\/]/, '').replace(/(\.connector)?\.json$/i, '');
    return this.#file.name ?? (base === '' ? 'connector' : base);
  }

  /** Whether the run brings a task that the file did not ask for by `inputs`. */
  get #taskIsInput(): boolean {
    const given = Object.hasOwn(this.#options.inputs ?? {}, 'task');
    return given && !Object.hasOwn(this.#file.inputs ?? {}, 'task');
  }

  #inputs(): Record<string, string> {
    const given = this.#options.inputs ?? {};
    const declared = this.#file.inputs ?? {};
    const values: Record<string, string> = {};
    for (const [name, said] of Object.entries(declared)) {
      const input = typeof said === 'object' && said !== null ? said : { default: said ?? undefined };
      const value = Object.hasOwn(given, name) ? given[name] : input.default;
      if (value === undefined && input.required !== false) {
        this.#missingInputs.push({ name, description: input.description });
        this.#missing(['inputs', name], `the input "${name}" has no value: --input ${name}=…`, 'key');
      }
      values[name] = String(value ?? '');
    }
    if (this.#taskIsInput) values['task'] = given['task'] ?? '';
    for (const name of Object.keys(given)) {
      if (Object.hasOwn(values, name)) continue;
      this.#problems.at(['inputs'], `there is no input "${name}"${didYouMean(name, Object.keys(declared))}`, 'key');
    }
    return values;
  }

  /** What a run needs, and a look at the file does not. */
  #missing(path: Path, message: string, part?: 'key'): void {
    if (this.#options.draft) this.#problems.warn(path, message, part);
    else this.#problems.at(path, message, part);
  }

  #phases(): DraftPhase[] {
    const { type, pipeline } = this.#file;
    if (type === 'dialogue' && pipeline === undefined) {
      const phase = { participants: this.#file.participants, rounds: this.#file.rounds };
      return [{ name: 'dialogue', parallel: 1, workers: this.#turns(phase, [], [this.#top]) }];
    }
    if (pipeline === undefined) return this.#single();
    const { scratchpad } = pipeline;
    const above: Level[] = [
      ...(scratchpad === undefined ? [] : [{ settings: { scratchpad }, path: ['pipeline'] }]),
      this.#top,
    ];
    if (type === 'dialogue') this.#problems.at(['type'], 'a dialogue has participants; with phases it is a "pipeline"');
    const unique = new Names([]);
    const names = pipeline.phases.map(({ name }, index) => unique.next(name ?? `phase-${index + 1}`));
    return pipeline.phases.map((phase, index) => this.#phase(phase, index, names, above));
  }

  /** A file of one session: a worker for its task. */
  #single(): DraftPhase[] {
    const { participants, agents, model, prompt, session } = this.#file;
    const says = [model, prompt, session, this.#task].some((said) => said !== undefined) || this.#models.has('primary');
    if (!says) {
      const hint = participants
        ? '; for participants: "type": "dialogue"'
        : agents
          ? '; for agents: "type": "mesh"'
          : '';
      this.#problems.at([], `"pipeline" is missing: {"phases": [{"name": …, "model": …, "prompt": …}]}${hint}`);
      return [];
    }
    const name = this.#names.next(slug(this.#name));
    const settings = new Settings([this.#top], this.#problems);
    return [
      {
        name: slug(this.#name),
        parallel: 1,
        workers: [{ name, settings, needs: [], prompt: this.#prompt(settings, '') }],
      },
    ];
  }

  #phase(phase: FilePhase, index: number, names: readonly string[], above: readonly Level[]): DraftPhase {
    const name = names[index] ?? '';
    const path = ['pipeline', 'phases', index];
    const levels: Level[] = [{ settings: phase, path }, ...above];
    const later = laterTypes.find((type) => type === phase.type);
    if (later !== undefined) this.#notYet ??= `a ${later} (phase "${name}") cannot be run yet`;
    if (phase.type === 'dialogue') return { name, parallel: 1, workers: this.#turns(phase, path, levels) };
    if (phase.participants && later === undefined) {
      this.#problems.at([...path, 'participants'], 'participants are of a dialogue: "type": "dialogue"', 'key');
    }
    const entries: FileWorker[] = Array.isArray(phase.workers) ? phase.workers : new Array(phase.workers ?? 1).fill({});
    const wholeTask = entries.length > 1 || names.length > 1 ? taskShare(name, names) : '';
    const workers = entries.map((entry, at): DraftWorker => {
      const own = [...path, 'workers', at];
      const listed = Array.isArray(phase.workers);
      const settings = new Settings(listed ? [{ settings: entry, path: own }, ...levels] : levels, this.#problems);
      if (entry.connector !== undefined) {
        this.#notYet ??= `a worker that starts a connector file of its own (${entry.connector}) cannot be run yet`;
      }
      const needs = list(entry.needs).map((need, n) => ({
        name: need,
        path: [...own, 'needs', ...(Array.isArray(entry.needs) ? [n] : [])],
      }));
      const base = slug(name);
      return {
        name: entry.name ?? this.#names.next(entries.length === 1 ? base : `${base}-${at + 1}`),
        settings,
        needs,
        prompt: this.#prompt(settings, wholeTask),
      };
    });
    const { parallel = true } = phase;
    const atOnce = parallel === true ? workers.length : parallel === false ? 1 : parallel;
    return { name, parallel: atOnce, workers };
  }

  #turns(
    phase: Pick<FilePhase, 'participants' | 'rounds' | 'task'>,
    path: Path,
    levels: readonly Level[],
  ): DraftWorker[] {
    const prompt = new Settings(levels, this.#problems).find('prompt');
    const said: PromptPart | undefined =
      phase.task !== undefined ? { text: phase.task, path: [...path, 'task'] } : prompt && partOf(prompt);
    const context = { above: levels, path, subject: said ?? this.#task, names: this.#names, problems: this.#problems };
    return turnsOf(phase, context);
  }

  #prompt(settings: Settings, share: string): Prompt | undefined {
    const said = settings.find('prompt');
    if (said) return { template: said.value, parts: [partOf(said)] };
    return this.#task && { template: this.#task.text + share, parts: [this.#task] };
  }

  #worker({ name, settings, prompt }: DraftWorker): WorkerDefinition {
    if (prompt === undefined && this.#notYet === undefined) {
      this.#missing(
        settings.path,
        'a prompt is missing here: give a "prompt", or the file a "task", or the run one: --input task=…',
      );
    }
    return {
      name,
      prompt: prompt?.template ?? '',
      needs: [],
      placements: this.#placements(settings),
      failoverOn: settings.failoverOn(),
      environment: settings.environment(name),
      output: settings.output(),
      check: settings.find('check')?.value ?? null,
      retry: settings.retry(),
      lease: settings.lease(),
      limits: settings.limits(),
      sideEffects: settings.find('sideEffects')?.value ?? 'none',
    };
  }

  #placements(settings: Settings): Placement[] {
    const machine = settings.machine();
    const named = settings.find('model');
    if (named === undefined && !this.#models.has('primary')) {
      this.#problems.at(settings.path, 'a model is missing here: give a "model", or "models" a "primary"');
      return [];
    }
    const name = named?.value ?? 'primary';
    const model = this.#model(name, named?.path ?? ['models', 'primary']);
    const placements = [{ machine, model }];
    const fallback = settings.find('fallback');
    for (const [index, entry] of (fallback?.value ?? []).entries()) {
      const path = [...(fallback?.path ?? []), index];
      if (entry.machine === undefined && entry.model === undefined) {
        this.#problems.at(path, 'a fallback has another machine, another model, or both');
      }
      placements.push({
        machine: entry.machine === undefined ? machine : machineChoice(entry.machine),
        model: entry.model === undefined ? model : this.#model(entry.model, [...path, 'model']),
      });
    }
    if (this.#models.has('fallback') && this.#models.has(name)) {
      placements.push({ machine, model: this.#model('fallback', ['models', 'fallback']) });
    }
    const known = new Set<string>();
    return placements.flatMap((placement) => {
      const { machine: where, model: what } = placement;
      if (what === undefined) return [];
      const key = JSON.stringify([where, { ...what, alias: '' }]);
      if (known.has(key)) return [];
      known.add(key);
      return [{ machine: where, model: what }];
    });
  }

  #model(name: string, path: Path) {
    const found = this.#models.resolve(name);
    if ('model' in found) return found.model;
    // What is wrong with one of the file's own is told where that stands.
    if (!this.#models.has(name)) this.#problems.at(path, found.problem);
    return undefined;
  }
}

function partOf({ value, path }: { value: string; path: Path }): PromptPart {
  return { text: value, path };
}

/** What of a task that all workers share is a phase's. */
function taskShare(phase: string, phases: readonly string[]): string {
  const others = phases.length === 1 ? '' : ` The phases are, in this order: ${phases.map(literal).join(', ')}.`;
  return `\n\nYou are {worker}. Your part of it is the phase "${literal(phase)}".${others}`;
}

/** The names that workers have by the file itself, each of which may be there once. */
function givenNames({ pipeline }: ConnectorFile, problems: Problems): string[] {
  const names = new Set<string>();
  for (const [index, { workers }] of (pipeline?.phases ?? []).entries()) {
    if (!Array.isArray(workers)) continue;
    for (const [at, { name }] of workers.entries()) {
      if (name === undefined) continue;
      if (names.has(name)) {
        problems.at(['pipeline', 'phases', index, 'workers', at, 'name'], `there is another worker "${name}"`);
      }
      names.add(name);
    }
  }
  return [...names];
}
