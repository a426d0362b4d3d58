import type { MachineInfo, SessionInfo } from '../shared/protocol/shapes.ts';

/** How one row of the view looks and reads, before the editor's own types. */
export interface RowView {
  label: string;
  description: string;
  /** A codicon's name. */
  icon: string;
  /** A theme colour's id. */
  color: string | undefined;
  /** Markdown. */
  tooltip: string;
  /** Words by which menus choose, separated by semicolons. */
  contextValue: string;
  /** What a screen reader says. */
  spoken: string;
}

export function machineRow(machine: MachineInfo, now: Date): RowView {
  const { name, self, online, path, rttMs, version, headless, role, since, lastSeen } = machine;
  const facts = online ? onlineFacts(machine) : [offlineSince(machine, now)];
  const words = ['machine', online ? 'online' : 'offline', self ? 'self' : 'other', `headless-${headless}`];
  return {
    label: name,
    description: facts.join(' · '),
    icon: self ? 'device-desktop' : online ? 'vm-active' : 'vm-outline',
    color: online ? 'charts.green' : 'disabledForeground',
    tooltip: factTable(self ? `${name} (this machine)` : name, [
      ['State', online ? 'online' : offlineSince(machine, now)],
      ['Path', online && path ? `${path}${rttMs === null ? '' : `, ${roundTrip(rttMs)} round trip`}` : undefined],
      ['Since', since ? moment(since, now) : undefined],
      ['Last seen', online || !lastSeen ? undefined : moment(lastSeen, now)],
      ['Version', version ?? undefined],
      ['Platform', machine.platform ?? undefined],
      ['Headless server', headless],
      ['Live sessions', online ? String(machine.sessions) : undefined],
      ['Role', role],
      ['Labels', labels(machine)],
      ['Id', machine.id],
    ]),
    contextValue: words.join(';'),
    spoken: [name, online ? 'online' : undefined, ...facts, online ? count(machine.sessions, 'session') : undefined]
      .filter((part) => part !== undefined)
      .join(', '),
  };
}

function onlineFacts({ self, path, rttMs, version, headless }: MachineInfo): string[] {
  const way = self ? undefined : (path ?? 'connecting');
  const facts = [
    way,
    way && rttMs !== null ? roundTrip(rttMs) : undefined,
    version ?? undefined,
    self ? 'this machine' : undefined,
    headless === 'stopped' ? 'headless stopped' : undefined,
  ];
  return facts.filter((fact) => fact !== undefined);
}

function offlineSince({ since, lastSeen }: MachineInfo, now: Date): string {
  const when = since ?? lastSeen;
  return when ? `offline since ${moment(when, now)}` : 'offline';
}

export function sessionRow(session: SessionInfo, machine: string, now: Date): RowView {
  const { id, name, command, state, viewers, exitCode, signal } = session;
  const outcome = state === 'exited' ? ended(exitCode, signal) : state;
  const facts = [
    // Without evidence there is nothing to say of it at a glance.
    state === 'unknown' ? undefined : outcome,
    command === name ? undefined : command,
    viewers > 0 ? count(viewers, 'viewer') : undefined,
  ].filter((fact) => fact !== undefined);
  const { icon, color } = sessionLook(session);
  return {
    label: name,
    description: facts.join(' · '),
    icon,
    color,
    tooltip: factTable(`${name} on ${machine}`, [
      ['Command', command],
      ['Title', session.title || undefined],
      ['State', `${outcome}${session.evidence ? ` (${session.evidence})` : ''}`],
      ['Folder', session.cwd],
      ['Process', session.pid > 0 ? String(session.pid) : undefined],
      ['Size', `${session.cols} × ${session.rows}`],
      ['Viewers', String(viewers)],
      ['Started', moment(session.createdAt, now)],
      ['Ended', session.endedAt ? moment(session.endedAt, now) : undefined],
      ['Log', session.logError ?? undefined],
      ['Id', id],
    ]),
    contextValue: `session;${state === 'exited' ? 'ended' : 'live'}`,
    spoken: [`session ${name} on ${machine}`, ...facts].join(', '),
  };
}

function sessionLook({ state, exitCode, signal }: SessionInfo): Pick<RowView, 'icon' | 'color'> {
  switch (state) {
    case 'starting':
      return { icon: 'terminal', color: 'charts.yellow' };
    case 'idle':
      return { icon: 'terminal', color: 'charts.green' };
    case 'busy':
      return { icon: 'terminal', color: 'charts.blue' };
    case 'blocked':
      return { icon: 'bell-dot', color: 'charts.orange' };
    case 'exited':
      return { icon: 'circle-slash', color: exitCode === 0 && !signal ? 'disabledForeground' : 'charts.red' };
    case 'unknown':
      return { icon: 'terminal', color: undefined };
  }
}

export function ended(exitCode: number | null, signal: string | null): string {
  return signal ? `ended by ${signal}` : exitCode === null ? 'ended' : `exit ${exitCode}`;
}

export function roundTrip(ms: number): string {
  return ms < 1 ? '<1 ms' : `${Math.round(ms)} ms`;
}

export function bytes(count: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB'];
  let value = count;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 1 : 0)} ${units[unit]}`;
}

/** The time of today, else the day as well; in the reader's own time zone. */
export function moment(iso: string, now: Date): string {
  const then = new Date(iso);
  if (Number.isNaN(then.getTime())) return iso;
  const two = (part: number): string => String(part).padStart(2, '0');
  const time = `${two(then.getHours())}:${two(then.getMinutes())}`;
  if (then.toDateString() === now.toDateString()) return time;
  return `${then.getFullYear()}-${two(then.getMonth() + 1)}-${two(then.getDate())} ${time}`;
}

export function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}

function labels(machine: MachineInfo): string | undefined {
  const pairs = Object.entries(machine.labels).map(([key, value]) => `${key}=${value}`);
  return pairs.length === 0 ? undefined : pairs.join(', ');
}

/** What others chose (names, titles, commands) must not become markup. */
export function escapeMarkdown(text: string): string {
  return text.replace(/[\r\n]+/g, ' ').replace(/[\\`*_{}[\]()#+\-.!|<>~&$:]/g, '\\$&');
}

export function factTable(title: string, rows: ReadonlyArray<readonly [string, string | undefined]>): string {
  const lines = rows.flatMap(([key, value]) => (value === undefined ? [] : [`| ${key} | ${escapeMarkdown(value)} |`]));
  return [`**${escapeMarkdown(title)}**`, '', '| | |', '| --- | --- |', ...lines].join('\n');
}
