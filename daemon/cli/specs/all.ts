import { careSpecs } from './care.ts';
import { copySpecs } from './copy.ts';
import { machineSpecs } from './machine.ts';
import { otherSpecs } from './other.ts';
import { runSpecs } from './run.ts';
import { sessionSpecs } from './session.ts';
import { stateSpecs } from './state.ts';
import { wakeSpecs } from './wake.ts';
import { workerSpecs } from './worker.ts';

/** Every command by the words that call it. `niia remote X M` is `X` with `--machine M`. */
export const specs = {
  ...machineSpecs,
  ...wakeSpecs,
  ...copySpecs,
  ...careSpecs,
  ...sessionSpecs,
  ...stateSpecs,
  ...workerSpecs,
  ...runSpecs,
  ...otherSpecs,
} as const;

export type Specs = typeof specs;
export type CommandName = keyof Specs;

export const commandNames = Object.keys(specs).filter(isCommand);

export function isCommand(name: string): name is CommandName {
  return Object.hasOwn(specs, name);
}
