import { didYouMean } from '../spelling.ts';
import type { MachineChoice, RunDefinition } from './definition.ts';

/** A machine as far as it matters for what goes where. */
export interface MachineView {
  name: string;
  id: string;
  online: boolean;
  /** It is the one that asks. */
  self: boolean;
  labels: Readonly<Record<string, string>>;
  /** Live ones, of anybody. */
  sessions: number;
  /** Of the programs that workers must have, those that are not on its PATH; undefined: nobody asked it. */
  lacks?: readonly string[];
}

export type Placed = { machine: MachineView; why: string } | { none: string };

/** How many workers of the run are on each machine, by its id. */
export type Load = ReadonlyMap<string, number>;

/** The machine for a choice, or why there is none now. Pure: the same answer for the same team on every coordinator. */
export function place(
  choice: MachineChoice,
  machines: readonly MachineView[],
  load: Load,
  declared: RunDefinition['machines'] = {},
): Placed {
  if (choice === null) {
    const self = machines.find((machine) => machine.self);
    return self
      ? { machine: self, why: 'no machine is named: the one that coordinates' }
      : { none: 'no machine is here' };
  }
  if (choice.by === 'labels') return best(choice, machines, load, declared);
  const named = machineNamed(choice.name, machines);
  if (named?.online) return { machine: named, why: 'named' };
  if (named) return { none: `${named.name} is offline` };
  const labels = Object.hasOwn(declared, choice.name) ? declared[choice.name]?.labels : undefined;
  if (labels && Object.keys(labels).length > 0) {
    return best({ labels, has: [], pick: 'idle' }, machines, load, declared);
  }
  const near = didYouMean(
    choice.name,
    machines.map(({ name }) => name),
  );
  return { none: `no machine of the team is called ${choice.name}${near}` };
}

/** A name goes before an id. */
function machineNamed(name: string, machines: readonly MachineView[]): MachineView | undefined {
  return machines.find((machine) => machine.name === name) ?? machines.find((machine) => machine.id === name);
}

function best(
  { labels, has, pick }: Pick<Extract<MachineChoice, { by: 'labels' }>, 'labels' | 'has' | 'pick'>,
  machines: readonly MachineView[],
  load: Load,
  declared: RunDefinition['machines'],
): Placed {
  const wanted = Object.entries(labels).map(([key, value]) => `${key}=${value}`);
  const labelled = machines.filter((machine) => {
    const own = { ...machine.labels, ...declared[machine.name]?.labels };
    return Object.entries(labels).every(([key, value]) => Object.hasOwn(own, key) && own[key] === value);
  });
  if (labelled.length === 0) return { none: `no machine has ${wanted.join(' ')}` };
  const online = labelled.filter((machine) => machine.online);
  if (online.length === 0) return { none: `${names(labelled)} ${labelled.length === 1 ? 'is' : 'are'} offline` };
  const able = online.filter(({ lacks = [] }) => !has.some((program) => lacks.includes(program)));
  if (able.length === 0)
    return { none: `${names(online)} ${online.length === 1 ? 'lacks' : 'lack'} some of ${has.join(', ')}` };
  const [first] = [...able].sort(
    (a, b) => weight(a, pick, load) - weight(b, pick, load) || count(load, a) - count(load, b) || byName(a, b),
  );
  // There is one: `able` is not empty.
  if (!first) return { none: 'no machine fits' };
  const fits = [...wanted, ...(has.length === 0 ? [] : [`has ${has.join(', ')}`])].join(' ') || 'any machine will do';
  return {
    machine: first,
    why: able.length === 1 ? `${fits}; the only one` : `${fits}; ${pickText(pick)} of ${able.length}`,
  };
}

type Pick_ = Extract<MachineChoice, { by: 'labels' }>['pick'];

function weight(machine: MachineView, pick: Pick_, load: Load): number {
  if (pick === 'first') return 0;
  const own = count(load, machine);
  // What was granted a moment ago has no session yet that could be counted.
  return pick === 'spread' ? own : Math.max(machine.sessions, own);
}

function pickText(pick: Pick_): string {
  return { idle: 'the fewest sessions', first: 'the first by name', spread: 'the fewest workers' }[pick];
}

function count(load: Load, { id }: MachineView): number {
  return load.get(id) ?? 0;
}

/** By code units, so that every machine sorts alike whatever its language. */
function byName(a: MachineView, b: MachineView): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

function names(machines: readonly MachineView[]): string {
  return machines.map(({ name }) => name).join(', ');
}
