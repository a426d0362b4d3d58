import type { Finding } from '../../shared/protocol/doctor-methods.ts';
import type { Home } from '../home/home.ts';
import type { DaemonFacts } from './daemon-facts.ts';
import type { GatewayFacts } from './gateway-facts.ts';

export type { Finding };

/** What checks look at, and for how long. Facts that several of them need are gathered once. */
export interface Patient {
  readonly home: Home;
  readonly env: NodeJS.ProcessEnv;
  /** The entry point that finds the packages with native parts. */
  readonly entry: string;
  readonly daemon: () => Promise<DaemonFacts>;
  readonly gateway: () => Promise<GatewayFacts>;
  /** Aborted when the time of the check is over. */
  readonly signal: AbortSignal;
}

/** Gathers facts and judges them. A check that throws has failed with what it threw. */
export type Check = (patient: Patient) => Promise<Finding>;

export const pass = (found: string): Finding => ({ status: 'pass', found, mend: null });
export const skip = (found: string, mend: string | null = null): Finding => ({ status: 'skip', found, mend });
export const warn = (found: string, mend: string | null = null): Finding => ({ status: 'warn', found, mend });
export const fail = (found: string, mend: string | null = null): Finding => ({ status: 'fail', found, mend });

/** A path as one would type it in a shell. */
export function quote(path: string): string {
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
}
