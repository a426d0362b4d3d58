import { NiiaError } from '../../shared/errors.ts';
import type { HeadlessMethod } from '../../shared/protocol/methods.ts';
import { methods } from '../../shared/protocol/methods.ts';
import type { Role } from '../../shared/protocol/shapes.ts';
import type { Principal } from '../../shared/rpc/call.ts';

const rank: Record<Role, number> = { viewer: 0, operator: 1, admin: 2 };

/** Throws `denied` where `who` is less than `least`. */
export function requireRole(who: Principal, least: Role, what: string): void {
  if (rank[who.role] >= rank[least]) return;
  throw new NiiaError(
    'denied',
    `${who.name} may not ${what}: it takes the role ${least}, and its role is ${who.role}`,
    'An admin of the team can change it: niia team role MACHINE ROLE',
  );
}

/** What every call of the method needs. Methods with `special` access look at their parameters themselves. */
export function requireAccess(who: Principal, method: HeadlessMethod): void {
  const { access } = methods[method];
  if (access === 'special') return;
  if (access === 'local') {
    if (who.kind !== 'local') throw new NiiaError('denied', `${method} is for the machine's own user only`);
    return;
  }
  requireRole(who, access, `use ${method}`);
}

/** An operator ends only what it started itself. */
export function requireKill(who: Principal, session: { id: string; owner: string }): void {
  requireRole(who, 'operator', `end the session ${session.id}`);
  if (who.role === 'admin' || session.owner === who.id) return;
  throw new NiiaError(
    'denied',
    `${who.name} may not end the session ${session.id}: another started it`,
    'Ask an admin.',
  );
}
