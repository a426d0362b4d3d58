import { span } from '../../../shared/duration.ts';
import { roles } from '../../../shared/protocol/shapes.ts';
import type { Run } from '../context.ts';
import { ago, table } from '../format.ts';
import type { Specs } from '../specs/all.ts';
import { duration, oneOf } from '../values.ts';

const defaultExpiryMs = 10 * 60_000;

export const invite: Run<Specs['invite']> = async ({ options }, { daemon, out }) => {
  const role = oneOf(options.role ?? 'operator', roles, '--role');
  const expiresMs = options.expires === undefined ? defaultExpiryMs : duration(options.expires, '--expires');
  const result = await daemon.change('team.invite', { role, expiresMs });
  await out.result(result, () => `${result.code}\n`);
  if (out.json) return;
  const left = span(Date.parse(result.expiresAt) - Date.now());
  await out.advice(`On the other machine, within ${left}:  niia join CODE   (works once; role ${result.role})`);
};

export const create: Run<Specs['team create']> = async ({ args: [name], options: { leave } }, { daemon, out }) => {
  const result = await daemon.change('team.create', { name, leave });
  await out.result(result, () => `${result.team.name}\n`);
};

export const show: Run<Specs['team show']> = async (_, { daemon, out }) => {
  const result = await daemon.query('team.show', {});
  await out.result(result, () => {
    const rows = result.members.map(({ name, self, role, joinedAt, id }) => [
      self ? `${name} (here)` : name,
      role,
      ago(joinedAt),
      id,
    ]);
    return `${result.team.name}\n\n${table(['MEMBER', 'ROLE', 'JOINED', 'ID'], rows)}`;
  });
};

export const role: Run<Specs['team role']> = async ({ args: [machine, text] }, { daemon, out }) => {
  const result = await daemon.change('team.role', { machine, role: oneOf(text, roles, 'ROLE') });
  await out.result(result, () => `${result.machine} is ${result.role} now\n`);
};

export const remove: Run<Specs['team remove']> = async ({ args: [machine] }, { daemon, out }) => {
  const result = await daemon.change('team.remove', { machine });
  await out.result(result, () => `${result.machine} is no longer a member\n`);
};
