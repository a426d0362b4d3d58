import { expect, test } from 'vitest';
import type { ReplicaMessage } from '../../../daemon/connector/core/messages.ts';
import { VoterLine } from '../../../daemon/connector/voter-line.ts';

const append = (...notes: string[]): ReplicaMessage => ({
  ...{ is: 'append', term: 1, sent: 0, prev: { index: 3, term: 1 }, commit: 3 },
  entries: notes.map((note) => ({ term: 1, record: { kind: 'note', at: '', note } })),
});
const counts = (messages: ReplicaMessage[]) =>
  messages.map((one) => (one.is === 'append' ? one.entries.length : one.is));

test('records go out once while they are on their way, and heartbeats and votes beside them', async () => {
  const sent: ReplicaMessage[] = [];
  const arrivals: Array<() => void> = [];
  const line = new VoterLine(
    (message) =>
      new Promise((resolve) => {
        sent.push(message);
        arrivals.push(resolve);
      }),
  );
  line.send(append('a', 'b'));
  line.send(append('a', 'b', 'c'));
  line.send(append());
  line.send({ is: 'vote', term: 1, asked: 1, trial: false, granted: true });
  expect(counts(sent)).toEqual([2, 0, 0, 'vote']);
  // What was left out is behind the same place: nothing is taken for known that is not.
  expect(sent[1]).toEqual(append());
  for (const arrive of arrivals) arrive();
  await new Promise((resolve) => setImmediate(resolve));
  line.send(append('c'));
  expect(counts(sent).at(-1)).toBe(1);
});
