import { command } from '../spec.ts';

/** Commands that keep a machine running. */
export const careSpecs = {
  'service install': command({
    group: 'This machine',
    summary: 'let the system start the daemon at login and start it again when it fails',
    args: [],
    options: {
      linger: { kind: 'flag', help: 'also run it without a login, from boot on (systemd: loginctl enable-linger)' },
      print: { kind: 'flag', help: 'print the file of the service instead, and change nothing' },
    },
    examples: ['niia service install --linger', 'niia service install --print > niia.service'],
    notes: [
      'A systemd user unit, a launchd agent, or a Windows task. A daemon that runs already is handed over; its sessions live on.',
      'PATH, NIIA_LOG and the proxy settings are taken from where this is run; run it again to take new ones.',
      'Without lingering systemd starts the daemon at login, and at the last logout ends it with its sessions.',
    ],
  }),
  'service uninstall': command({
    group: 'This machine',
    summary: 'stop the service and remove it; sessions live on',
    args: [],
    options: {},
    examples: ['niia service uninstall'],
    notes: ['niia up then starts the daemon in the background, as without a service.'],
  }),
  'service status': command({
    group: 'This machine',
    summary: 'whether a service is installed, enabled and running',
    args: [],
    options: {},
    examples: ['niia service status', 'niia service status --json'],
  }),
} as const;
