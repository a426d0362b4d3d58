import type * as v from 'valibot';

type Schema = v.GenericSchema;

/**
 * The least that a request needs on the machine that serves it. `local`: only this machine's own user. `special`: the
 * policy looks at the parameters or the machine's settings.
 */
export type Access = 'viewer' | 'operator' | 'admin' | 'local' | 'special';

export interface MethodSpec<
  P extends Schema = Schema,
  R extends Schema = Schema,
  D extends Schema = Schema,
  U extends Schema = Schema,
> {
  /** Which process of the machine serves it. */
  at: 'daemon' | 'headless';
  access: Access;
  /** It changes something: it is audited, and a repeat with the same key gets the recorded outcome. */
  changes: boolean;
  params: P;
  result: R;
  /** Events from the served to the asking side. */
  down: D;
  /** Events from the asking to the served side. */
  up: U;
}

export function method<P extends Schema, R extends Schema, D extends Schema, U extends Schema>(
  spec: MethodSpec<P, R, D, U>,
): MethodSpec<P, R, D, U> {
  return spec;
}
