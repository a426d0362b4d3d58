import type { ErrorCode } from '../shared/errors.ts';
import { NiiaError } from '../shared/errors.ts';
import type { CommandId } from './command-ids.ts';

/** A button below an error. */
export interface ErrorAction {
  title: string;
  command: CommandId;
}

const start: ErrorAction = { title: 'Start niia', command: 'niia.start' };
const log: ErrorAction = { title: 'Show Log', command: 'niia.showLog' };
const refresh: ErrorAction = { title: 'Refresh', command: 'niia.refresh' };
const join: ErrorAction = { title: 'Enter Another Code', command: 'niia.join' };

/** What a person can do about each error from here. */
const actions: Record<ErrorCode, readonly ErrorAction[]> = {
  failed: [log],
  internal: [log],
  io: [log],
  name_taken: [],
  port_taken: [log],
  version_mismatch: [log],
  gateway_unreachable: [refresh, log],
  daemon_not_running: [start, log],
  already_member: [],
  bad_bundle: [log],
  usage: [],
  bad_code: [join],
  bad_request: [log],
  unknown_method: [log],
  too_large: [log],
  not_yet: [],
  no_such_machine: [refresh],
  no_such_session: [refresh],
  no_such_run: [refresh],
  session_ended: [refresh],
  offline: [refresh, log],
  timeout: [log],
  cancelled: [],
  needs_approval: [],
  outcome_unknown: [refresh, log],
  link_lost: [log],
  fenced: [],
  busy: [],
  denied: [],
  code_used: [join],
  code_expired: [join],
  not_a_member: [log],
};

/** Hints are written for the shell; where the editor has a button or another name for it, it says its own. */
const ownHints: Partial<Record<ErrorCode, string>> = {
  daemon_not_running: '',
  version_mismatch: 'Bring niia and this extension to the same version, then start niia again.',
  code_used: 'A code works once: ask for a new one.',
  code_expired: 'Ask for a new one.',
};

export interface PresentedError {
  message: string;
  actions: readonly ErrorAction[];
}

/** What is shown of an error; undefined for what the person did on purpose. */
export function presentError(thrown: unknown): PresentedError | undefined {
  const error = NiiaError.from(thrown);
  if (error.code === 'cancelled') return undefined;
  const hint = ownHints[error.code] ?? error.hint ?? '';
  return { message: ['niia', sentence(error.message, hint)].join(': '), actions: actions[error.code] };
}

function sentence(message: string, hint: string): string {
  const ends = /[.!?]$/.test(message) ? message : `${message}.`;
  return hint ? `${ends} ${hint}` : ends;
}
