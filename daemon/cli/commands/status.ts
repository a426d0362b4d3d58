import { span } from '../../../shared/duration.ts';
import type { DaemonStatus } from '../../../shared/protocol/shapes.ts';
import { sizeText } from '../../home/size.ts';
import type { Run } from '../context.ts';
import { ago, count, megabytes, paint, printable, roundTrip } from '../format.ts';
import type { Specs } from '../specs/all.ts';

export const status: Run<Specs['status']> = async (_, { daemon, out }) => {
  const result = await daemon.query('daemon.status', {});
  await out.result(result, () => statusText(result));
};

export function statusText(status: DaemonStatus): string {
  const { machine, team, headless } = status;
  const labels = Object.entries(machine.labels).map(([key, value]) => `${key}=${value}`);
  const rows: Array<[string, string]> = [
    ['machine', [machine.name, machine.role, ...labels].join('  ')],
    ['id', machine.id],
    ['version', `${status.version}  ${status.platform}`],
    ['daemon', `pid ${status.pid}, up ${span(Date.now() - Date.parse(status.startedAt))}, home ${status.home}`],
    ['team', `${team.name}, ${count(team.members, 'member')}`],
    ['gateway', gatewayText(status.gateway)],
  ];
  for (const link of status.links) {
    const up = link.state === 'up' ? `${link.path ?? '-'}  ${roundTrip(link.rttMs)}` : ago(link.since);
    rows.push(['link', `${link.machine}  ${paint(link.state, link.state === 'up' ? 'green' : 'yellow')}  ${up}`]);
    for (const { kind, state, rttMs, note } of link.candidates) {
      const figures = [kind.padEnd(7), state.padEnd(8), roundTrip(rttMs).padEnd(8), printable(note)].join('  ');
      rows.push(['', `  ${paint(figures.trimEnd(), 'dim')}`]);
    }
  }
  for (const server of headless) {
    const parts = [
      `pid ${server.pid}`,
      `version ${server.version}`,
      count(server.sessions, 'session'),
      megabytes(server.rssBytes),
    ];
    rows.push(['headless', parts.join(', ')]);
  }
  for (const { pid, version, error } of status.unreached ?? []) {
    rows.push(['headless', paint(`pid ${pid}, version ${version}, not reached: ${printable(error)}`, 'red')]);
  }
  if (headless.length === 0) rows.push(['headless', 'not up; starts by itself in a moment, or with the next session']);
  rows.push(['sessions', `${status.sessions} live`]);
  const { disk } = status;
  if (disk) {
    const parts = [
      `${sizeText(disk.total)} in the home (sessions ${sizeText(disk.sessions)}, versions ${sizeText(disk.versions)})`,
      `at most ${sizeText(disk.cap)} or ${disk.capSessions} sessions are kept of those that ended`,
      `${sizeText(disk.free)} free`,
    ];
    rows.push(['disk', parts.join('; ')]);
    for (const warning of disk.warnings) rows.push(['warning', paint(printable(warning), 'red')]);
  }
  return rows.map(([name, text]) => `${paint(name.padEnd(8), 'dim')}  ${text}\n`).join('');
}

function gatewayText({ url, embedded, state, since, error }: DaemonStatus['gateway']): string {
  if (url === null) return 'none';
  const colour = state === 'connected' ? 'green' : 'yellow';
  const parts = [printable(url), embedded ? 'embedded' : 'elsewhere', paint(state, colour)];
  if (since !== null) parts.push(ago(since));
  return parts.join('  ') + (error === null ? '' : `\n          ${printable(error)}`);
}
