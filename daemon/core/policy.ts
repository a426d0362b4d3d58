import { NiiaError } from '../../shared/errors.ts';
import type { Access } from '../../shared/protocol/method.ts';
import type { MethodName } from '../../shared/protocol/methods.ts';
import { methods } from '../../shared/protocol/methods.ts';
import type { Role } from '../../shared/protocol/shapes.ts';
import { roles } from '../../shared/protocol/shapes.ts';
import type { Principal } from '../../shared/rpc/call.ts';
import type { Config } from '../home/config.ts';

type SpecialMethod = { [M in MethodName]: (typeof methods)[M]['access'] extends 'special' ? M : never }[MethodName];

/** The least role for methods where it depends on what is asked or on this machine's settings. */
const special: { [M in SpecialMethod]: (params: unknown, config: Config) => Role } = {
  'session.attach': (params) => (field(params, 'readOnly') === true ? 'viewer' : 'operator'),
  // Which sessions an operator may end is decided where their owners are known, in the headless server.
  'session.kill': () => 'operator',
  'machine.ask': (_, config) => config.ask,
  // Whoever may run a command may copy, and the other way round.
  'copy.look': (_, config) => config.ask,
  'copy.put': (_, config) => config.ask,
  'copy.get': (_, config) => config.ask,
};

/** Throws `denied` unless `who` may have `method` served on this machine. The default is no. */
export function authorize(method: MethodName, params: unknown, who: Principal, config: Config): void {
  if (who.kind === 'local') return;
  const access: Access = methods[method].access;
  if (access === 'local') {
    throw new NiiaError('denied', `${method} is for the machine's own user only`, 'Run it on that machine.');
  }
  const needed = isSpecial(method) ? special[method](params, config) : leastRole(access);
  if (roles.indexOf(who.role) >= roles.indexOf(needed)) return;
  const hint =
    isSpecial(method) && special[method](params, { ...config, ask: 'operator' }) !== needed && who.role === 'operator'
      ? "An admin can change that with: niia team role; the machine's owner with: niia config set ask operator"
      : `An admin can change that with: niia team role ${who.name} ${needed}`;
  throw new NiiaError('denied', `${who.name} is ${article(who.role)} here; ${method} needs ${article(needed)}`, hint);
}

/** Whatever is not a role is beyond all of them: nobody from outside gets it. */
function leastRole(access: Access): Role {
  const role = roles.find((known) => known === access);
  if (!role) throw new NiiaError('denied', 'this is not served to other machines');
  return role;
}

function isSpecial(method: MethodName): method is SpecialMethod {
  return Object.hasOwn(special, method);
}

function article(role: Role): string {
  return `${role === 'viewer' ? 'a' : 'an'} ${role}`;
}

function field(params: unknown, name: string): unknown {
  return typeof params === 'object' && params !== null && name in params
    ? params[name as keyof typeof params]
    : undefined;
}
