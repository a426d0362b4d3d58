import { existsSync } from 'node:fs';
import { readIfThere } from '../../home/files.ts';
import type { ServiceManager, ServiceState } from '../../service/manager.ts';
import { installedService } from '../../service/service.ts';
import type { Check, Finding } from '../check.ts';
import { fail, pass, skip, warn } from '../check.ts';

export interface ServiceFacts {
  service: Pick<ServiceManager, 'name' | 'kind'> | undefined;
  state: ServiceState | undefined;
  /** Whether its file is what an install would write now. */
  current: boolean;
  /** Programs that its file names and that are gone. */
  missing: readonly string[];
  /** Of the daemon that runs, by whomever. */
  daemonPid: number | undefined;
}

export function judgeService({ service, state, current, missing, daemonPid }: ServiceFacts): Finding {
  if (!service || !state) return skip('no service is installed: after a restart niia is down', 'niia service install');
  const { name } = service;
  const again = 'niia service install';
  if (missing.length > 0) return fail(`${name} would run ${missing.join(' and ')}, which is gone`, again);
  if (!state.enabled) return warn(`${name} is installed but not enabled`, again);
  if (/\b(failed|auto-restart)\b/.test(state.detail)) {
    return fail(
      `${name}: ${state.detail}`,
      service.kind === 'systemd' ? `journalctl --user --unit ${name}` : 'niia status',
    );
  }
  if (daemonPid !== undefined && state.pid !== daemonPid)
    return warn(`the daemon (pid ${daemonPid}) runs beside ${name}`, again);
  if (state.linger === false) {
    return warn(`${name} and its sessions end with this user's last logout`, 'niia service install --linger');
  }
  if (!current) return warn(`${name} is not what niia service install would write now`, again);
  return pass(`${name}: ${state.running ? `running (pid ${state.pid})` : state.detail}`);
}

export const checkService: Check = async ({ home, daemon }) => {
  const service = installedService(home);
  const { pid: daemonPid } = await daemon();
  if (!service) return judgeService({ service, state: undefined, current: true, missing: [], daemonPid });
  const text = readIfThere(service.file) ?? '';
  const current = service.kind === 'windows' || text === (await service.content());
  const missing = service.program.filter((path) => !existsSync(path));
  return judgeService({ service, state: await service.state(), current, missing, daemonPid });
};
