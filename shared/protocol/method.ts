import type * as v from 'valibot';

type Schema = v.GenericSchema;

/**
 * The least that a request needs on the machine that serves it. `local`: only this machine's own user. `special`: the
 * policy looks at the parameters or the machine's settings.
 */
export type Access = 'viewer' | 'operator' | 'admin' | 'local' | 'special';

/** `P`arameters, `R`esult, and the schemas of the events `D`own (to the asker) and `U`p (from the asker). */
export interface MethodSpec<At, A, P extends Schema, R extends Schema, D extends Schema, U extends Schema> {
  /** Which process of the machine serves it. */
  at: At;
  access: A;
  /** It changes something: it is audited, and a repeat with the same key gets the recorded outcome. */
  changes: boolean;
  params: P;
  result: R;
  down: D;
  up: U;
}

export function method<
  At extends 'daemon' | 'headless',
  A extends Access,
  P extends Schema,
  R extends Schema,
  D extends Schema,
  U extends Schema,
>(spec: MethodSpec<At, A, P, R, D, U>): MethodSpec<At, A, P, R, D, U> {
  return spec;
}
