import { pathKinds, roles } from '../../../shared/protocol/shapes.ts';
import { command } from '../spec.ts';

const role = {
  kind: 'text',
  value: 'R',
  help: 'viewer, operator or admin; operator unless given',
  completes: { from: 'words', words: roles },
} as const;

const onOff = (what: string) =>
  ({
    kind: 'text',
    value: 'on|off',
    help: `whether to ${what}; on at first`,
    completes: { from: 'words', words: ['on', 'off'] },
  }) as const;

const start = {
  name: { kind: 'text', value: 'N', help: "the machine's name, at its first start" },
  gateway: {
    kind: 'text',
    value: 'URL',
    help: 'use this gateway (the whole URL that niia gateway printed) instead of an embedded one; "embedded" goes back',
  },
  listen: { kind: 'text', value: 'HOST:PORT', help: 'where this machine listens, for others to reach it' },
  direct: onOff('dial other machines straight, and let them'),
  p2p: onOff('make WebRTC connections to other machines'),
  lan: onOff('find machines of the team on the local network'),
  label: { kind: 'list', value: 'K=V', help: 'a label of this machine; may be repeated' },
} as const;

const invite = command({
  group: 'The team',
  summary: 'print a one-time code that makes another machine a member',
  args: [],
  options: {
    role,
    expires: { kind: 'text', value: 'TIME', help: 'how long the code works: 30s, 10m, 1h, 2d; 10m unless given' },
  },
  examples: ['niia invite', 'niia invite --role viewer --expires 1h', 'code=$(niia invite --json | jq -r .code)'],
  remote: true,
});

const join = command({
  group: 'The team',
  summary: 'make this machine a member, by a code from niia invite',
  args: ['CODE'],
  options: {
    name: { kind: 'text', value: 'N', help: "this machine's name in the team" },
    leave: { kind: 'flag', help: 'leave a team that has other members' },
  },
  examples: ['niia join CODE', 'niia join CODE --name build-box'],
  notes: ['Starts this machine first where it is not up.'],
});

/** Commands about machines and teams. */
export const machineSpecs = {
  up: command({
    group: 'This machine',
    summary: 'start this machine in the background and print its status; idempotent',
    args: [],
    options: start,
    examples: [
      'niia up',
      'niia up --listen 0.0.0.0:7447',
      "niia up --gateway 'wss://gw.example:7447/#…'",
      'niia up --label gpu=yes',
    ],
    notes: ['The log is daemon.log in the home (NIIA_HOME, else ~/.niia).'],
  }),
  down: command({
    group: 'This machine',
    summary: 'stop the daemon; its sessions live on unless --sessions',
    args: [],
    options: { sessions: { kind: 'flag', help: 'end the sessions too' } },
    examples: ['niia down', 'niia down --sessions'],
  }),
  daemon: command({
    group: 'This machine',
    summary: 'run the daemon in the foreground (what a service manager runs)',
    args: [],
    options: start,
    examples: ['niia daemon', 'NIIA_LOG=debug niia daemon --listen 0.0.0.0:7447'],
  }),
  headless: command({
    group: 'More',
    summary: 'run the headless server that owns the sessions; the daemon starts it',
    args: [],
    options: {
      generation: { kind: 'text', value: 'G', help: 'which build it serves' },
      machine: { kind: 'text', value: 'NAME', help: "the machine's name" },
    },
    examples: [],
    hidden: true,
  }),
  status: command({
    group: 'This machine',
    summary: 'version, processes, team, gateway, links and sessions',
    args: [],
    options: {},
    examples: ['niia status', 'niia status --json', 'niia remote status list'],
    remote: true,
  }),
  'config get': command({
    group: 'This machine',
    summary: 'show the settings, or one of them',
    args: ['[KEY]'],
    options: {},
    examples: ['niia config get', 'niia config get ask'],
    remote: true,
  }),
  'config set': command({
    group: 'This machine',
    summary:
      'change a setting: ask, workers, gateway, listen, direct, p2p, lan, guard, disk, disk.sessions, label.NAME',
    args: ['KEY', 'VALUE'],
    options: {},
    examples: ['niia config set ask operator', 'niia config set label.gpu yes'],
    notes: ['An empty VALUE removes a label or an address.'],
    remote: true,
  }),
  invite,
  join,
  'team create': command({
    group: 'The team',
    summary: 'make a new team with this machine as its admin',
    args: ['NAME'],
    options: { leave: { kind: 'flag', help: 'leave a team that has other members' } },
    examples: ['niia team create research'],
  }),
  'team show': command({
    group: 'The team',
    summary: 'the team and its members',
    args: [],
    options: {},
    examples: ['niia team show', 'niia team show --json'],
    remote: true,
  }),
  'team invite': invite,
  'team join': join,
  'team role': command({
    group: 'The team',
    summary: "change a member's role",
    args: ['MACHINE', 'ROLE'],
    argCompletes: [{ from: 'machines' }, { from: 'words', words: roles }],
    options: {},
    examples: ['niia team role build-box admin'],
    remote: true,
  }),
  'team remove': command({
    group: 'The team',
    summary: 'remove a member',
    args: ['MACHINE'],
    argCompletes: [{ from: 'machines' }],
    options: {},
    examples: ['niia team remove old-laptop'],
    remote: true,
  }),
  gateway: command({
    group: 'The team',
    summary: 'run a gateway that the machines of teams meet at; prints its URL',
    args: [],
    options: {
      listen: { kind: 'text', value: 'HOST:PORT', help: 'where to listen; 127.0.0.1:7447 unless given' },
      tls: { kind: 'text', value: 'auto|off|CERT,KEY', help: 'its certificate; auto makes one and keeps it' },
      state: { kind: 'text', value: 'DIR', help: 'where it keeps its certificate', completes: { from: 'folders' } },
      turn: {
        kind: 'list',
        value: 'URL',
        help: 'a TURN server that machines may use where no straight way is found; may be given several times',
      },
      'turn-user': { kind: 'text', value: 'U', help: 'the name to show to the TURN servers' },
      'turn-credential': { kind: 'text', value: 'C', help: 'its credential; better in NIIA_TURN_CREDENTIAL' },
      'turn-secret': {
        kind: 'text',
        value: 'S',
        help: 'in place of both: the secret shared with the TURN servers; better in NIIA_TURN_SECRET',
      },
    },
    examples: [
      'niia gateway --listen 0.0.0.0:7447',
      'niia gateway --listen 0.0.0.0:443 --tls cert.pem,key.pem',
      'NIIA_TURN_SECRET=… niia gateway --listen 0.0.0.0:7447 --turn turn:turn.example.org:3478',
    ],
    notes: [
      'It also answers STUN requests, on the UDP port of the same number: let a firewall pass both.',
      'With a secret (coturn: use-auth-secret) every machine gets a credential of its own, good for a day.',
    ],
  }),
  'remote status list': command({
    group: 'Other machines',
    summary: 'every machine of the team: state, path, round trip, version, sessions',
    args: [],
    options: {},
    examples: ['niia remote status list', 'niia remote status list --json'],
  }),
  path: command({
    group: 'Other machines',
    summary: 'the ways to a machine, with their figures, and why one was chosen; --pin prefers one',
    args: [],
    options: {
      pin: {
        kind: 'text',
        value: 'PATH',
        help: 'use p2p, direct or gateway whenever it works, both ways; auto leaves it to the ranking again',
        completes: { from: 'words', words: [...pathKinds, 'auto'] },
      },
    },
    examples: ['niia remote path build-box', 'niia remote path build-box --pin p2p'],
    remote: true,
  }),
  'machine add-address': command({
    group: 'Other machines',
    summary: 'where a machine can be dialled, for when nothing else knows it',
    args: ['MACHINE', 'ADDRESS'],
    argCompletes: [{ from: 'machines' }],
    options: {},
    examples: ['niia machine add-address build-box 192.168.1.20:7447'],
    notes: ['The machine has to listen there: niia up --listen 0.0.0.0:7447. Who answers is proved by its key.'],
    remote: true,
  }),
  'machine remove-address': command({
    group: 'Other machines',
    summary: 'forget an address of a machine',
    args: ['MACHINE', 'ADDRESS'],
    argCompletes: [{ from: 'machines' }],
    options: {},
    examples: ['niia machine remove-address build-box 192.168.1.20:7447'],
    remote: true,
  }),
  start: command({
    group: 'Other machines',
    summary: 'start the headless server on a machine where it is stopped',
    args: [],
    options: {},
    examples: ['niia remote start build-box'],
    remote: true,
  }),
  upgrade: command({
    group: 'Other machines',
    summary:
      "put this machine's version (or a bundle's) on a machine; sessions live on, and what is not well is put back",
    args: [],
    options: {
      bundle: {
        kind: 'text',
        value: 'FILE',
        help: 'a bundle that niia bundle made, instead of the version here',
        completes: { from: 'files' },
      },
      'allow-downgrade': { kind: 'flag', help: 'take an older version than the one that runs there' },
      all: { kind: 'flag', help: 'every other machine of the team that is online, one after the other' },
    },
    examples: [
      'niia remote upgrade build-box',
      'niia remote upgrade build-box --bundle niia-0.2.0-linux-arm64-glibc.niiabundle',
      'niia remote upgrade --all',
      'niia upgrade --bundle niia-0.2.0-linux-x64-glibc.niiabundle',
    ],
    notes: [
      'It takes the role admin. The machine puts its old version back where the new one is not well within 30 s.',
      'With --all the first machine is the canary: after a failure no other is touched. This machine is left as it is.',
    ],
    remote: true,
  }),
  bundle: command({
    group: 'Other machines',
    summary: 'pack the version that is here into one file, for niia upgrade --bundle',
    args: [],
    options: {
      target: {
        kind: 'text',
        value: 'TARGET',
        help: 'the kind of machine, as linux-x64-glibc; this one unless given; any: without native parts',
      },
      out: {
        kind: 'text',
        value: 'FILE',
        help: 'the file; niia-VERSION-TARGET.niiabundle unless given',
        completes: { from: 'files' },
      },
    },
    examples: ['niia bundle', 'niia bundle --target any --out /tmp/niia.niiabundle'],
    notes: ['Native parts for another kind of machine go in only where npm has put them on this disk.'],
  }),
  'upgrade-supervisor': command({
    group: 'More',
    summary: 'bring an upgrade that is under way to its end; the daemon starts it',
    args: [],
    options: {},
    examples: [],
    hidden: true,
  }),
  ask: command({
    group: 'Other machines',
    summary: "run COMMAND by the machine's shell, with its output as it comes and its exit code",
    args: ['[COMMAND]'],
    rest: 'WORDS',
    options: {
      cwd: { kind: 'text', value: 'D', help: "the folder to run it in; M's home folder unless given" },
      env: { kind: 'list', value: 'K=V', help: 'a variable of its environment; may be repeated' },
      stdin: { kind: 'flag', help: "pass this command's input on" },
      all: { kind: 'flag', help: 'on every machine that is online, this one included; lines start with NAME:' },
    },
    examples: [
      'niia remote ask build-box "git status"',
      'niia remote ask --all uptime',
      'niia remote ask build-box -- df -h /tmp',
      'tar c src | niia remote ask build-box --stdin "tar x -C /tmp"',
    ],
    notes: [
      'COMMAND is one argument, or the words after --, joined with single spaces as ssh does.',
      'Exits with the code of COMMAND, 128+N where signal N ended it, 255 for any failure of its own.',
      'Ctrl-C goes to the remote command; a second one within a second gives up on it.',
      "The command finds what the user's terminals find: it has the PATH of a login shell.",
      'When the link or a daemon breaks, the command goes on, and so does its output when it is back. It is never run twice.',
      'Where nobody comes back within 10 minutes it gets SIGHUP. --timeout and a second Ctrl-C end it at once.',
      'With --all the exit code is the highest one; machines that are offline are named on stderr.',
      'With --json each output may hold at most 16 MiB; bytes that are not UTF-8 are replaced.',
    ],
    remote: true,
  }),
} as const;
