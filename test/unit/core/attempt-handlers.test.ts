import { expect, test } from 'vitest';
import type { Attempts } from '../../../daemon/connector/attempts/attempts.ts';
import { attemptHandlers } from '../../../daemon/core/attempt-handlers.ts';
import type { AttemptKey } from '../../../shared/protocol/attempt-methods.ts';
import type { Principal } from '../../../shared/rpc/call.ts';
import type { ServedCall } from '../../../shared/rpc/server.ts';

const machine = (id: string): Principal => ({ kind: 'machine', id, name: id.toUpperCase(), role: 'operator' });
const key = { run: 'r', worker: 'w', epoch: 7 };

/** Asks to end the attempt `key`, of whose run these machines are known to coordinate. */
async function ending(asker: Principal, coordinators: string[] | undefined): Promise<AttemptKey[]> {
  const ended: AttemptKey[] = [];
  const attempts = {
    coordinatorsOf: () => coordinators,
    end: async (one: AttemptKey) => {
      ended.push(one);
      return { folder: null, branch: null };
    },
  } as unknown as Attempts;
  const call = { params: { ...key, why: 'fenced' } } as unknown as ServedCall<'attempt.end'>;
  await attemptHandlers({ attempts })['attempt.end'](call, asker);
  return ended;
}

test('an attempt is ended by a machine that may coordinate its run, and by no other', async () => {
  expect(await ending(machine('a'), ['a', 'b'])).toEqual([key]);
  expect(await ending(machine('b'), ['a', 'b'])).toEqual([key]);
  // It may have been told to begin, and that never came.
  expect(await ending(machine('c'), undefined)).toEqual([key]);
  await expect(ending(machine('c'), ['a', 'b'])).rejects.toMatchObject({ code: 'denied' });
});

test('an attempt is begun by a machine that says of itself that it coordinates the run', async () => {
  const attempts = { coordinatorsOf: () => undefined } as unknown as Attempts;
  const call = { params: { ...key, coordinators: ['a'] } } as unknown as ServedCall<'attempt.begin'>;
  const begun = async () => await attemptHandlers({ attempts })['attempt.begin'](call, machine('c'));
  await expect(begun()).rejects.toMatchObject({ code: 'denied' });
});
