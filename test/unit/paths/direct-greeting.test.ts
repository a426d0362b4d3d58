import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { greetDialler, greetListener } from '../../../daemon/paths/direct-greeting.ts';
import type { Identity } from '../../../daemon/team/identity.ts';
import { directLimits } from '../../../shared/protocol/direct.ts';
import { memoryTransportPair } from '../../../shared/transport/memory-transport.ts';
import type { Transport } from '../../../shared/transport/transport.ts';
import { identities } from '../../sim/team.ts';

const [dialler, listener, stranger] = identities(3) as [Identity, Identity, Identity];
const team = 'ab'.repeat(16);
const certificate = 'cd'.repeat(32);

const listen = (transport: Transport) => greetDialler(transport, { certificate, team, self: listener.id });
const dial = (transport: Transport, change: Partial<Parameters<typeof greetListener>[1]> = {}) =>
  greetListener(transport, { certificate, team, self: dialler, to: listener.id, ...change });

/** Both outcomes, however they end. */
async function meet(change: Partial<Parameters<typeof greetListener>[1]> = {}) {
  const [a, b] = memoryTransportPair();
  return await Promise.allSettled([listen(b), dial(a, change)]);
}

describe('the greeting of a machine that is dialled straight', () => {
  it('tells the listener who dialled, and hands both the connection with every byte that came after it [DIR-5]', async () => {
    const [a, b] = memoryTransportPair();
    const [{ machine, transport: atListener }, atDialler] = await Promise.all([listen(b), dial(a)]);
    expect(machine).toBe(dialler.id);
    const got: string[] = [];
    atDialler.send(Buffer.from('early'));
    atListener.send(Buffer.from('answer'), Buffer.from('!'));
    await new Promise((resolve) => setTimeout(resolve, 5));
    const reads = (who: string, transport: Transport) =>
      transport.start({
        message: (bytes) => got.push(`${who} ${Buffer.from(bytes)}`),
        writable: () => undefined,
        closed: () => got.push(`${who} closed`),
      });
    reads('listener', atListener);
    reads('dialler', atDialler);
    await new Promise((resolve) => setTimeout(resolve, 5));
    atDialler.send(Buffer.from('late'));
    await new Promise((resolve) => setTimeout(resolve, 5));
    atListener.close();
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(got).toEqual(['listener early', 'dialler answer!', 'listener late', 'listener closed', 'dialler closed']);
  });

  it.each([
    ['another machine than the one that is there', { to: stranger.id }, 'no_such_machine'],
    ['another team', { team: 'ef'.repeat(16) }, 'no_such_machine'],
    ['a certificate that somebody in between showed', { certificate: '00'.repeat(32) }, 'denied'],
    [
      'a key that is not the machine’s',
      { self: { id: dialler.id, signKey: dialler.signKey, sign: (message: Uint8Array) => stranger.sign(message) } },
      'denied',
    ],
    [
      'the id of somebody else',
      { self: { id: dialler.id, signKey: stranger.signKey, sign: (message: Uint8Array) => stranger.sign(message) } },
      'denied',
    ],
  ])('refuses %s, and both hear why [DIR-2, DIR-3]', async (_, change, code) => {
    const [atListener, atDialler] = await meet(change);
    expect(atListener).toMatchObject({ status: 'rejected', reason: { code } });
    expect(atDialler).toMatchObject({ status: 'rejected', reason: { code } });
  });

  it('says nothing of the listener to somebody who says nothing [DIR-1]', async () => {
    const [a, b] = memoryTransportPair();
    const heard: string[] = [];
    a.start({
      message: (bytes) => heard.push(Buffer.from(bytes).toString()),
      writable: () => undefined,
      closed: () => undefined,
    });
    const greeted = listen(b);
    await new Promise((resolve) => setTimeout(resolve, 10));
    a.close();
    await expect(greeted).rejects.toMatchObject({ code: 'offline' });
    expect(heard).toHaveLength(1);
    for (const secret of [listener.id, listener.signKey, listener.noiseKey, listener.name, team]) {
      expect(heard[0]).not.toContain(secret);
    }
  });

  it('ends with whatever is no greeting, and never throws [DIR-4]', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: directLimits.message + 10 }), async (bytes) => {
        const [a, b] = memoryTransportPair();
        a.start({ message: () => undefined, writable: () => undefined, closed: () => undefined });
        const greeted = listen(b);
        a.send(bytes);
        await expect(greeted).rejects.toMatchObject({ code: expect.stringMatching(/bad_request|too_large/) });
      }),
      { numRuns: 200 },
    );
  });
});
