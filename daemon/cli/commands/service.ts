import { NiiaError } from '../../../shared/errors.ts';
import type { DaemonStatus } from '../../../shared/protocol/shapes.ts';
import { readIfThere } from '../../home/files.ts';
import type { ServiceManager } from '../../service/manager.ts';
import type { Context, Run } from '../context.ts';
import { count, paint } from '../format.ts';
import { runningDaemon } from '../running-daemon.ts';
import type { Specs } from '../specs/all.ts';
import { processGone, startInBackground } from '../start-daemon.ts';
import { startService } from '../start-service.ts';

/** What `niia service status --json` prints. */
interface ServiceReport {
  installed: boolean;
  enabled: boolean;
  running: boolean;
  pid: number | null;
  kind: ServiceManager['kind'];
  name: string;
  file: string;
  linger: boolean | null;
  /** Whether the file is what this niia would write here and now; null where none is installed. */
  current: boolean | null;
  /** What the manager says, or why it cannot be asked. */
  detail: string;
}

export const install: Run<Specs['service install']> = async ({ options: { linger, print } }, context) => {
  const { home, out, daemon } = context;
  const { serviceOf, writeLauncher } = await import('../../service/service.ts');
  const service = serviceOf(home);
  if (print) {
    const content = await service.content();
    await out.result({ kind: service.kind, name: service.name, file: service.file, content }, () => content);
    return;
  }
  await service.check();
  home.prepare();
  writeLauncher(home);
  const before = await runningDaemon(daemon);
  const state = await service.state();
  const ours = before !== undefined && before.pid === state.pid;
  const changed = readIfThere(service.file) !== (await service.content());
  await service.install();
  if (linger) await lingerOn(service);
  if (!ours || changed) await handOver(service, before, context);
  const report = await reportOf(service);
  await out.result(report, () => told(report, before));
  if (!out.json && report.linger === false) {
    await out.advice(
      'Without lingering systemd starts niia at login and ends it, with its sessions, at the last logout; to run it always: niia service install --linger',
    );
  }
};

export const uninstall: Run<Specs['service uninstall']> = async (_, context) => {
  const { home, out, daemon, deadline } = context;
  const { serviceOf, removeLauncher } = await import('../../service/service.ts');
  const service = serviceOf(home);
  const installed = readIfThere(service.file) !== undefined;
  let stopped: DaemonStatus | undefined;
  if (installed) {
    await service.check();
    const status = await runningDaemon(daemon);
    if (status && status.pid === (await service.state()).pid) {
      await stopDaemon(context);
      await service.stop();
      await processGone(status.pid, deadline);
      stopped = status;
    }
    await service.remove();
  }
  removeLauncher(home);
  const result = { removed: installed, stopped: stopped !== undefined, sessionsLeft: stopped?.sessions ?? 0 };
  await out.result(result, () => {
    if (!installed) return `no service is installed for ${home.root}\n`;
    const left = result.sessionsLeft > 0 ? `; ${count(result.sessionsLeft, 'session')} left running` : '';
    return `the service ${service.name} is removed${stopped ? `, its daemon stopped${left}` : ''}\n`;
  });
  if (!out.json && stopped) await out.advice('To start niia in the background: niia up');
};

export const status: Run<Specs['service status']> = async (_, { home, out }) => {
  const { serviceOf } = await import('../../service/service.ts');
  const report = await reportOf(serviceOf(home));
  await out.result(report, () => statusText(report));
};

/** Stops whatever daemon runs and starts it by the service; goes back to what was where that fails. */
async function handOver(service: ServiceManager, before: DaemonStatus | undefined, context: Context): Promise<void> {
  const { home, daemon, deadline } = context;
  if (before) {
    await stopDaemon(context);
    await processGone(before.pid, deadline);
  }
  try {
    // Where the manager ran it, it has to see the end before it starts another.
    await service.stop();
    await startService(service, { daemon, deadline });
  } catch (error) {
    await service.stop();
    await service.remove();
    if (before) await startInBackground({ home, daemon, deadline, flags: [] });
    throw error;
  }
}

async function stopDaemon({ daemon }: Context): Promise<void> {
  await daemon.ask('daemon.stop', { sessions: false });
  daemon.close();
}

async function lingerOn(service: ServiceManager): Promise<void> {
  if (!service.enableLinger) {
    throw new NiiaError('usage', `--linger is for systemd; this is ${service.kind}`, 'Leave it out.');
  }
  await service.enableLinger();
}

async function reportOf(service: ServiceManager): Promise<ServiceReport> {
  const { kind, name, file } = service;
  const text = readIfThere(file);
  const installed = text !== undefined;
  const { enabled, running, pid, linger, detail } = await service.state();
  const current = kind === 'windows' || !installed ? null : text === (await service.content());
  return { installed, enabled: installed && enabled, running, pid, kind, name, file, linger, current, detail };
}

function told(report: ServiceReport, before: DaemonStatus | undefined): string {
  const kept = before && before.sessions > 0 ? `; ${count(before.sessions, 'session')} kept` : '';
  return `the service ${report.name} runs the daemon (pid ${report.pid ?? '-'})${kept}\n`;
}

function statusText({ installed, enabled, running, pid, kind, name, file, linger, current, detail }: ServiceReport) {
  const yes = (it: boolean): string => paint(it ? 'yes' : 'no', it ? 'green' : 'yellow');
  const rows: Array<[string, string]> = [
    ['service', `${name}  ${kind}`],
    ['installed', installed ? `${yes(true)}  ${file}` : `${yes(false)}  niia service install`],
    ['enabled', yes(enabled)],
    ['running', running ? `${yes(true)}  pid ${pid ?? '-'}` : `${yes(false)}  ${detail}`],
  ];
  if (linger !== null) rows.push(['linger', linger ? yes(true) : `${yes(false)}  loginctl enable-linger`]);
  if (current === false) rows.push(['file', 'not what niia service install would write now; run it again to renew it']);
  return rows.map(([key, text]) => `${paint(key.padEnd(9), 'dim')}  ${text}\n`).join('');
}
