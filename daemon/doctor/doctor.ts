import { NiiaError } from '../../shared/errors.ts';
import type { Diagnosis } from '../../shared/protocol/doctor-methods.ts';
import type { Home } from '../home/home.ts';
import { entryPoint } from '../process/spawn.ts';
import type { Check, Finding, Patient } from './check.ts';
import { fail } from './check.ts';
import { checkClock } from './checks/clock.ts';
import { checkDisk } from './checks/disk.ts';
import { checkGateway, checkLinks, checkProxy } from './checks/gateway.ts';
import { checkHeadless } from './checks/headless.ts';
import { checkHome, checkPermissions } from './checks/home.ts';
import { checkLan } from './checks/lan.ts';
import { checkNative } from './checks/native.ts';
import { checkNode, checkShell } from './checks/programs.ts';
import { checkService } from './checks/service.ts';
import { checkSettings } from './checks/settings.ts';
import { checkSocket } from './checks/socket.ts';
import { checkStun, checkUdp } from './checks/udp.ts';
import { checkVersions } from './checks/versions.ts';
import { daemonFacts } from './daemon-facts.ts';
import { gatewayFacts } from './gateway-facts.ts';

/** In the order in which they are told: what others depend on comes first. */
const checks: ReadonlyArray<readonly [name: string, check: Check]> = [
  ['node', checkNode],
  ['home', checkHome],
  ['permissions', checkPermissions],
  ['disk', checkDisk],
  ['settings', checkSettings],
  ['daemon', checkSocket],
  ['versions', checkVersions],
  ['headless', checkHeadless],
  ['native', checkNative],
  ['shell', checkShell],
  ['clock', checkClock],
  ['gateway', checkGateway],
  ['proxy', checkProxy],
  ['links', checkLinks],
  ['udp', checkUdp],
  ['stun', checkStun],
  ['lan', checkLan],
  ['service', checkService],
];

export interface DoctorOptions {
  home: Home;
  env?: NodeJS.ProcessEnv;
  entry?: string;
  /** For all checks, which run at once. */
  limitMs?: number;
}

const usualLimitMs = 15_000;

/** Runs all checks; takes at most `limitMs`, whatever hangs. */
export async function examine({
  home,
  env = process.env,
  entry = entryPoint,
  limitMs = usualLimitMs,
}: DoctorOptions): Promise<Diagnosis> {
  const daemon = once(() => daemonFacts(home));
  const gateway = once(async () => await gatewayFacts({ home, env }, await daemon()));
  const end = new AbortController();
  const patient: Patient = { home, env, entry, daemon, gateway, signal: end.signal };
  const timer = setTimeout(() => end.abort(), limitMs);
  try {
    const findings = await Promise.all(
      checks.map(async ([name, check]) => ({ name, ...(await bounded(check, patient, limitMs)) })),
    );
    return { checks: findings, ok: findings.every((finding) => finding.status !== 'fail') };
  } finally {
    clearTimeout(timer);
    end.abort();
  }
}

/** The check's finding; its failure or its silence is one too. */
export async function bounded(check: Check, patient: Patient, limitMs: number): Promise<Finding> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Finding>((resolve) => {
    timer = setTimeout(
      () => resolve(fail(`no result within ${limitMs / 1_000} s`, 'Try again when the computer is less busy')),
      limitMs,
    );
  });
  try {
    return await Promise.race([late, check(patient)]);
  } catch (error) {
    const { message, hint } = NiiaError.from(error);
    return fail(`this could not be checked: ${message}`, hint ?? null);
  } finally {
    clearTimeout(timer);
  }
}

function once<T>(gather: () => Promise<T>): () => Promise<T> {
  let gathered: Promise<T> | undefined;
  return () => (gathered ??= gather());
}
