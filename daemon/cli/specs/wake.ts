import { command } from '../spec.ts';

/** Bringing back machines that are away. */
export const wakeSpecs = {
  'machine wake': command({
    group: 'Other machines',
    summary: 'bring back a machine that is down or asleep; with --ssh or --mac, set up how',
    args: ['MACHINE'],
    argCompletes: [{ from: 'machines' }],
    options: {
      ssh: { kind: 'text', value: 'HOST', help: 'set up: run niia up there by ssh' },
      'ssh-command': { kind: 'text', value: 'CMD', help: 'another command line than niia up' },
      mac: { kind: 'text', value: 'ADDRESS', help: 'set up: send a Wake-on-LAN packet for this network card' },
      via: { kind: 'text', value: 'M', help: 'the machine that sends the packet', completes: { from: 'machines' } },
      broadcast: {
        kind: 'text',
        value: 'IP[:PORT]',
        help: "where the packet goes; the sender's own networks at first",
      },
      off: { kind: 'flag', help: 'forget how' },
    },
    examples: [
      'niia machine wake build-box --ssh me@build-box',
      'niia machine wake desktop --mac 00:1a:2b:3c:4d:5e --via nas',
      'niia machine wake desktop',
    ],
    notes: [
      'Without options it wakes the machine and waits until it is online. So does niia remote start M.',
      'ssh runs as you, with your keys. A machine with --via needs to know this one as an admin.',
    ],
  }),
} as const;
