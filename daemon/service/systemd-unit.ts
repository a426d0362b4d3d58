import type { ServiceDefinition } from './definition.ts';

/** From this version on systemd waits longer from one restart to the next. */
const growingPausesSince = 254;

/**
 * The systemd user unit (systemd.service(5)). `systemdVersion`: of the systemd that reads it; older ones would warn of
 * settings that they do not know.
 */
export function systemdUnit({ command, environment, home }: ServiceDefinition, systemdVersion: number): string {
  const variables = Object.entries(environment).map(([name, value]) => `Environment=${quoted(`${name}=${value}`)}`);
  // At once, and then ever later; where systemd cannot, each time after a while that does not load the computer. Never
  // given up: what keeps the daemon from starting, a full disk say, may be over tomorrow, and nobody else starts it.
  const grows = systemdVersion >= growingPausesSince;
  const pauses = grows ? ['RestartSec=200ms', 'RestartSteps=8', 'RestartMaxDelaySec=60'] : ['RestartSec=5'];
  const lines = [
    '# Made by niia service install; niia service uninstall removes it.',
    '[Unit]',
    `Description=niia, the machine in ${specifiersEscaped(home)}`,
    'StartLimitIntervalSec=0',
    '',
    '[Service]',
    'Type=exec',
    // The colon: no variable is looked for in the words.
    `ExecStart=:${command.map(quoted).join(' ')}`,
    ...variables,
    'WorkingDirectory=/',
    'Restart=on-failure',
    ...pauses,
    // Trying again mends neither a wrong setting nor another daemon that runs for this home.
    'RestartPreventExitStatus=2 9',
    // The daemon alone: the headless server and its sessions live on when the service is stopped or restarted.
    'KillMode=process',
    'TimeoutStopSec=15',
    // Sessions live in the unit's cgroup: one that is killed for its memory is no reason to stop the daemon, and what
    // they start is not the daemon's to count.
    'OOMPolicy=continue',
    'TasksMax=infinity',
    '',
    '[Install]',
    'WantedBy=default.target',
  ];
  return `${lines.join('\n')}\n`;
}

/** A word in quotes (systemd.syntax(7)); `%` starts a specifier in all of them. */
function quoted(word: string): string {
  return `"${specifiersEscaped(word).replace(/["\\]/g, '\\$&')}"`;
}

function specifiersEscaped(text: string): string {
  return text.replaceAll('%', '%%');
}
