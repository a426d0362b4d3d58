import { describe, expect, test } from 'vitest';
import type { DaemonClient } from '../../../daemon/cli/daemon-client.ts';
import { runningDaemon } from '../../../daemon/cli/running-daemon.ts';
import { NiiaError } from '../../../shared/errors.ts';
import type { DaemonStatus } from '../../../shared/protocol/shapes.ts';

/** A daemon that gives these answers, one after another. */
function daemonOf(...answers: Array<NiiaError | DaemonStatus>): DaemonClient {
  const ask = async () => {
    const next = answers.length > 1 ? answers.shift() : answers[0];
    if (next instanceof NiiaError) throw next;
    return next;
  };
  return { ask } as unknown as DaemonClient;
}

const lost = new NiiaError('link_lost', 'the connection was closed');
const status = { version: '1' } as DaemonStatus;

describe('a daemon that ends while it is asked', () => {
  test('is asked again: its successor answers', async () => {
    expect(await runningDaemon(daemonOf(lost, lost, status))).toBe(status);
  });

  test('is found not to run once it has ended', async () => {
    expect(await runningDaemon(daemonOf(lost, new NiiaError('daemon_not_running', 'none runs')))).toBeUndefined();
  });

  test('is not well where that goes on', async () => {
    await expect(runningDaemon(daemonOf(lost), 500)).rejects.toMatchObject({ code: 'link_lost' });
  });

  test('is not asked again where it says what is wrong', async () => {
    const refused = new NiiaError('denied', 'no');
    await expect(runningDaemon(daemonOf(refused, status))).rejects.toBe(refused);
  });
});
