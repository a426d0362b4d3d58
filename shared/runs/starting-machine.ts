import { NiiaError } from '../errors.ts';
import type { MachineInfo } from '../protocol/shapes.ts';

/**
 * The id of the machine to begin a run on, undefined for this one: this one, unless the file names others; then the
 * first of them that is there. Throws `offline` where none is.
 */
export function startingMachine(
  coordinators: readonly string[],
  machines: ReadonlyArray<Pick<MachineInfo, 'name' | 'id' | 'self' | 'online'>>,
): string | undefined {
  if (coordinators.length === 0) return undefined;
  const listed = machines.filter(({ name, id }) => coordinators.includes(name) || coordinators.includes(id));
  if (listed.some(({ self }) => self)) return undefined;
  const first = coordinators
    .flatMap((name) => listed.filter((one) => one.name === name || one.id === name))
    .find((one) => one.online);
  if (first) return first.id;
  throw new NiiaError(
    'offline',
    `none of the machines that may coordinate this run is online: ${coordinators.join(', ')}`,
    'See: niia remote status list',
  );
}
