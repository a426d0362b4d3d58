import { didYouMean } from '../spelling.ts';
import type { WorkerDefinition } from './definition.ts';
import type { DraftPhase, DraftWorker } from './draft.ts';
import type { Problems } from './problems.ts';
import { usesOf } from './templates.ts';

type Order = 'before' | 'same' | 'after';

/** Whether everything that workers refer to is there in time: needs, outputs of others, inputs. */
export class References {
  readonly #phaseOf = new Map<string, number>();
  readonly #rules: ReadonlyMap<string, Pick<WorkerDefinition, 'output'>>;
  readonly #phases: readonly DraftPhase[];
  readonly #inputs: ReadonlySet<string>;
  readonly #problems: Problems;

  constructor(
    phases: readonly DraftPhase[],
    rules: ReadonlyMap<string, Pick<WorkerDefinition, 'output'>>,
    inputs: ReadonlySet<string>,
    problems: Problems,
  ) {
    this.#phases = phases;
    this.#rules = rules;
    this.#inputs = inputs;
    this.#problems = problems;
    for (const [index, { workers }] of phases.entries()) {
      for (const { name } of workers) this.#phaseOf.set(name, index);
    }
  }

  check(): void {
    for (const [index, phase] of this.#phases.entries()) {
      for (const worker of phase.workers) this.#checkNeeds(worker, index);
      const before = new BeforeEach(phase.workers, this.#problems);
      for (const worker of phase.workers) this.#checkPrompt(worker, index, before);
    }
  }

  /** Of a worker's needs, those that are of its own phase. */
  needsOf({ needs, name }: DraftWorker): string[] {
    const own = this.#phaseOf.get(name);
    return [...new Set(needs.map((need) => need.name))].filter((need) => this.#phaseOf.get(need) === own);
  }

  #order(name: string, phase: number): Order | undefined {
    const other = this.#phaseOf.get(name);
    if (other === undefined) return undefined;
    return other < phase ? 'before' : other === phase ? 'same' : 'after';
  }

  #checkNeeds(worker: DraftWorker, phase: number): void {
    for (const { name, path } of worker.needs) {
      const order = this.#order(name, phase);
      if (order === undefined) this.#problems.at(path, this.#unknownWorker(name));
      else if (name === worker.name) this.#problems.at(path, `"${name}" cannot need itself`);
      else if (order === 'after') {
        this.#problems.at(path, `"${name}" is of a later phase, and comes after "${worker.name}"`);
      }
    }
  }

  #checkPrompt(worker: DraftWorker, phase: number, before: BeforeEach): void {
    for (const { text, path } of worker.prompt?.parts ?? []) {
      const { uses, unknown } = usesOf(text);
      for (const { text: mark, index } of unknown) this.#problems.inside(path, index, unknownText(mark));
      for (const { variable, index } of uses) {
        const wrong = (message: string) => this.#problems.inside(path, index, message);
        if (variable.is === 'input' && !this.#inputs.has(variable.name)) {
          wrong(`there is no input "${variable.name}"${didYouMean(variable.name, this.#inputs) || '; see "inputs"'}`);
        }
        if (variable.is !== 'output') continue;
        const order = this.#order(variable.worker, phase);
        const rule = this.#rules.get(variable.worker)?.output;
        if (order === undefined) wrong(this.#unknownWorker(variable.worker));
        else if (variable.worker === worker.name) wrong(`"${worker.name}" cannot use its own output`);
        else if (order === 'after') wrong(`"${variable.worker}" is of a later phase: its output is not there yet`);
        else if (order === 'same' && !before.has(worker.name, variable.worker)) {
          wrong(`"${variable.worker}" does not come before "${worker.name}": add it to its "needs"`);
        } else if (variable.part === 'json' && rule?.json === null) {
          wrong(`"${variable.worker}" hands on no JSON: give it "output": "json"`);
        } else if (variable.part === 'files' && rule?.files.length === 0) {
          wrong(`"${variable.worker}" hands on no files: give it "output": {"files": […]}`);
        }
      }
    }
  }

  #unknownWorker(name: string): string {
    const known = [...this.#phaseOf.keys()];
    return `there is no worker "${name}"${didYouMean(name, known) || `; there are ${some(known)}`}`;
  }
}

function some(names: readonly string[]): string {
  return names.length <= 8 ? names.join(', ') : `${names.slice(0, 8).join(', ')} and ${names.length - 8} more`;
}

function unknownText(mark: string): string {
  const known = 'known are {{inputs.NAME}}, {{workers.NAME.output.text}} (or .json, .files) and {worker}';
  if (mark === '{{') return `a {{ without its }}; ${known}; \\{{ stands for itself`;
  if (/^\{\{\s*worker\s*\}\}$/.test(mark)) return `${mark} is no variable; did you mean "{worker}"?`;
  return `${mark} is no variable; ${known}; \\{{ stands for itself`;
}

/** For each worker of a phase those that come before it by needs, and the needs of those. */
class BeforeEach {
  readonly #workers: ReadonlyMap<string, DraftWorker>;
  readonly #before = new Map<string, ReadonlySet<string>>();

  /** A circle of needs is a problem. */
  constructor(workers: readonly DraftWorker[], problems: Problems) {
    this.#workers = new Map(workers.map((worker) => [worker.name, worker]));
    for (const { name } of this.#inOrder(workers, problems)) {
      const before = new Set<string>();
      for (const need of this.#workers.get(name)?.needs ?? []) {
        if (!this.#workers.has(need.name)) continue;
        before.add(need.name);
        for (const earlier of this.#before.get(need.name) ?? []) before.add(earlier);
      }
      this.#before.set(name, before);
    }
  }

  has(worker: string, other: string): boolean {
    return this.#before.get(worker)?.has(other) ?? false;
  }

  /** Those first that need nobody. Without recursion: a chain may be as long as a phase. */
  #inOrder(workers: readonly DraftWorker[], problems: Problems): DraftWorker[] {
    const open = new Map(
      workers.map(({ name, needs }) => [name, needs.filter((need) => this.#workers.has(need.name)).length]),
    );
    const needing = new Map<string, DraftWorker[]>();
    for (const worker of workers) {
      for (const { name } of worker.needs) needing.set(name, [...(needing.get(name) ?? []), worker]);
    }
    const order = workers.filter(({ name }) => open.get(name) === 0);
    for (let at = 0; at < order.length; at++) {
      for (const next of needing.get(order[at]?.name ?? '') ?? []) {
        const left = (open.get(next.name) ?? 0) - 1;
        open.set(next.name, left);
        if (left === 0) order.push(next);
      }
    }
    const circle = this.#circle(workers.filter(({ name }) => (open.get(name) ?? 0) > 0));
    const [first] = circle;
    // Needing oneself is told where that stands.
    if (first && circle.length > 1) {
      const names = circle.map(({ name }) => `"${name}"`).join(' needs ');
      problems.at(
        first.needs[0]?.path ?? first.settings.path,
        `needs go round in a circle: ${names} needs "${first.name}"`,
      );
    }
    return order;
  }

  /** One circle among workers that all wait for each other. */
  #circle(stuck: readonly DraftWorker[]): DraftWorker[] {
    const names = new Set(stuck.map(({ name }) => name));
    const way: DraftWorker[] = [];
    for (let worker = stuck[0]; worker; ) {
      const seen = way.indexOf(worker);
      if (seen >= 0) return way.slice(seen);
      way.push(worker);
      const next = worker.needs.find((need) => names.has(need.name));
      worker = next && this.#workers.get(next.name);
    }
    return [];
  }
}
