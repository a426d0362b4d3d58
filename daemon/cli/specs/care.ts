import { command } from '../spec.ts';

/** Commands that keep a machine running. */
export const careSpecs = {
  doctor: command({
    group: 'This machine',
    summary: 'check each part and say how to mend what is wrong; works with the daemon down as well',
    args: [],
    options: {
      bundle: {
        kind: 'text',
        value: 'FILE',
        help: 'also write a support bundle (tar.gz): the report, versions, settings and last logs, without secrets',
        completes: { from: 'files' },
      },
    },
    examples: ['niia doctor', 'niia doctor --bundle niia-support.tar.gz', 'niia remote doctor build-box'],
    notes: [
      'Exits with 0 when nothing fails (warnings are none), else with 1.',
      'A bundle never holds keys, codes, values of environment variables, or what sessions show.',
    ],
    remote: true,
  }),
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
