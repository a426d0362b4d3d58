/**
 * Every error that leaves a part of niia carries a code. The code decides the exit code of a command (README: exit
 * codes) and survives the wire; the message says what failed, on what and why; the hint says what to do next.
 */
export const exitCodes = {
  failed: 1,
  internal: 1,
  io: 1,
  name_taken: 1,
  port_taken: 1,
  version_mismatch: 1,
  gateway_unreachable: 1,
  daemon_not_running: 1,
  already_member: 1,
  bad_bundle: 1,
  usage: 2,
  bad_code: 2,
  bad_request: 2,
  unknown_method: 2,
  too_large: 2,
  not_yet: 2,
  no_such_machine: 3,
  no_such_session: 3,
  no_such_run: 3,
  session_ended: 3,
  offline: 4,
  timeout: 5,
  cancelled: 1,
  needs_approval: 6,
  outcome_unknown: 7,
  link_lost: 7,
  fenced: 8,
  busy: 9,
  denied: 10,
  code_used: 10,
  code_expired: 10,
  not_a_member: 10,
} as const satisfies Record<string, number>;

export type ErrorCode = keyof typeof exitCodes;

export interface WireError {
  code: ErrorCode;
  message: string;
  hint?: string;
}

export class NiiaError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, hint?: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'NiiaError';
    this.code = code;
    this.hint = hint;
  }

  get exitCode(): number {
    return exitCodes[this.code];
  }

  toJSON(): WireError {
    return this.hint === undefined
      ? { code: this.code, message: this.message }
      : { code: this.code, message: this.message, hint: this.hint };
  }

  /** Anything thrown, as a NiiaError: a foreign error becomes `internal` (or `io` where it carries an errno). */
  static from(error: unknown): NiiaError {
    if (error instanceof NiiaError) return error;
    if (error instanceof Error) {
      const code = 'errno' in error ? 'io' : 'internal';
      return new NiiaError(code, error.message, undefined, { cause: error });
    }
    return new NiiaError('internal', String(error));
  }

  /** An error received from a peer; a code that this version does not know becomes `failed`. */
  static fromWire(value: unknown): NiiaError {
    const wire = (typeof value === 'object' && value !== null ? value : {}) as Partial<
      Record<keyof WireError, unknown>
    >;
    const code =
      typeof wire.code === 'string' && Object.hasOwn(exitCodes, wire.code) ? (wire.code as ErrorCode) : 'failed';
    const message = typeof wire.message === 'string' ? wire.message : 'the other side failed without saying why';
    return new NiiaError(code, message, typeof wire.hint === 'string' ? wire.hint : undefined);
  }
}
