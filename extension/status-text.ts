import type { MachineInfo } from '../shared/protocol/shapes.ts';
import type { ConnectionState } from './connection-state.ts';
import { count } from './machine-text.ts';

export interface StatusText {
  /** With codicons. */
  text: string;
  tooltip: string;
}

export function statusText(
  { phase, error }: ConnectionState,
  machines: readonly MachineInfo[] | undefined,
): StatusText {
  switch (phase) {
    case 'absent':
      return { text: '$(vm-outline) niia: off', tooltip: `niia: ${error?.message ?? 'niia does not run'}` };
    case 'incompatible':
      return { text: '$(warning) niia', tooltip: `niia: ${error?.message ?? 'another version runs'}` };
    case 'connecting':
      return { text: '$(sync~spin) niia', tooltip: 'niia: connecting to this machine’s daemon' };
    case 'connected': {
      if (!machines) return { text: '$(sync~spin) niia', tooltip: 'niia: asking for the machines' };
      const online = machines.filter((machine) => machine.online);
      const names = online.map(({ name }) => name).join(', ');
      return {
        text: `$(vm-active) ${online.length}/${machines.length}`,
        tooltip: `niia: ${online.length} of ${count(machines.length, 'machine')} online (${names})`,
      };
    }
  }
}
