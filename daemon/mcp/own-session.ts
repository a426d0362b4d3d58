import { NiiaError } from '../../shared/errors.ts';
import type { Caller } from './tool.ts';

/** Refuses the session that the asking AI itself runs in: what it typed there would be input to itself. */
export async function notOwnSession(
  session: string,
  machine: string | undefined,
  { machines, signal, ownSession }: Caller,
): Promise<void> {
  if (ownSession === undefined) return;
  const { machines: all } = await machines.query('machine.list', {}, { machine: undefined, signal });
  const here = machine === undefined || all.some((one) => one.self && (one.name === machine || one.id === machine));
  if (!here) return;
  const { sessions } = await machines.query('session.list', {}, { machine: undefined, signal });
  const own = sessions.find(({ id }) => id === ownSession);
  if (session !== ownSession && session !== own?.name) return;
  throw new NiiaError('usage', `${session} is the session that this server runs in`, 'Name another: list_sessions');
}
