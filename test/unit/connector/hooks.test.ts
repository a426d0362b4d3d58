import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import type { IncomingHttpHeaders } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import type { HooksOptions, RunEvent } from '../../../daemon/connector/hooks.ts';
import { Hooks, sign } from '../../../daemon/connector/hooks.ts';

const cleanups: Array<() => unknown> = [];
afterEach(async () => {
  for (const task of cleanups.splice(0).reverse()) await task();
});

interface Post {
  headers: IncomingHttpHeaders;
  body: string;
}

/** A web server that keeps what it is told, and answers with these codes in turn, then with 204. */
async function listener(...codes: number[]): Promise<{ url: string; posts: Post[] }> {
  const posts: Post[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      posts.push({ headers: request.headers, body: Buffer.concat(chunks).toString() });
      response.writeHead(codes.shift() ?? 204).end();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanups.push(() => server.close());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`, posts };
}

function hooks(options: Partial<HooksOptions> & Pick<HooksOptions, 'hooks'>): Hooks {
  const folder = mkdtempSync(join(tmpdir(), 'niia-hooks-'));
  cleanups.push(() => rmSync(folder, { recursive: true, force: true }));
  const made = new Hooks({
    ...{ run: 'review-1', path: join(folder, 'hooks.json'), pauses: [1], log: { warn: () => undefined } },
    secret: (name) => (name === 'KEY' ? 'sesame' : undefined),
    ...options,
  });
  cleanups.push(() => made.close());
  return made;
}

const events: RunEvent[] = ['begun', 'grant', 'commit', 'ended'].map((is, index) => ({
  ...{ seq: index + 1, at: '2026-11-24T10:00:00.000Z', is, data: { worker: 'a' } },
}));
const sequence = ({ body }: Post): number => (JSON.parse(body) as { sequence: number }).sequence;

describe('hooks of a run', () => {
  test('tell each event once and in order, signed over what they say', async () => {
    const { url, posts } = await listener();
    const told = hooks({ hooks: [{ url, on: [], secret: 'KEY' }] });
    told.update(events);
    told.end();
    await told.run();
    expect(posts.map(sequence)).toEqual([1, 2, 3, 4]);
    for (const { headers, body } of posts) {
      const id = headers['webhook-id'];
      const signed = `${String(id)}.${String(headers['webhook-timestamp'])}.${body}`;
      expect(headers['webhook-signature']).toBe(`v1,${createHmac('sha256', 'sesame').update(signed).digest('base64')}`);
    }
    expect(posts[0]?.headers['webhook-id']).toBe('review-1.1');
    expect(JSON.parse(posts[0]?.body ?? '')).toMatchObject({
      type: 'run.begun',
      run: 'review-1',
      data: { worker: 'a' },
    });
  });

  test('tell only what they are for, and again until it is taken', async () => {
    const { url, posts } = await listener(500, 302);
    const told = hooks({ hooks: [{ url, on: ['commit', 'ended'], secret: null }] });
    const over = told.run();
    told.update(events.slice(0, 3));
    await expect.poll(() => posts.length).toBe(3);
    told.update(events);
    told.end();
    await over;
    expect(posts.map(sequence)).toEqual([3, 3, 3, 4]);
    expect(posts[0]?.headers['webhook-signature']).toBeUndefined();
  });

  test('go on where they were when their coordinator starts again', async () => {
    const { url, posts } = await listener();
    const path = join(mkdtempSync(join(tmpdir(), 'niia-hooks-')), 'hooks.json');
    const first = hooks({ hooks: [{ url, on: [], secret: null }], path });
    first.update(events.slice(0, 2));
    first.end();
    await first.run();
    const second = hooks({ hooks: [{ url, on: [], secret: null }], path });
    second.update(events);
    second.end();
    await second.run();
    expect(posts.map(sequence)).toEqual([1, 2, 3, 4]);
  });

  test('never tell unsigned what is to be signed', async () => {
    const { url, posts } = await listener();
    const warned: unknown[] = [];
    const told = hooks({ hooks: [{ url, on: [], secret: 'MISSING' }], log: { warn: (text) => warned.push(text) } });
    told.update(events);
    void told.run();
    await expect.poll(() => warned.length).toBeGreaterThan(1);
    expect(posts).toEqual([]);
  });

  test('are done with an event that nobody takes for a day', async () => {
    const { url, posts } = await listener(500, 500, 500);
    const told = hooks({ hooks: [{ url, on: [], secret: null }], giveUpMs: -1 });
    told.update(events);
    told.end();
    expect(told.done).toBe(false);
    await told.run();
    // Each of the first three was refused once, and is not waited for.
    expect([told.done, posts.map(sequence)]).toEqual([true, [1, 2, 3, 4]]);
  });

  test('take a secret in the form of the specification', () => {
    // The example of the Standard Webhooks specification 1.0.
    const key = Buffer.from('MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'base64');
    const text = 'msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{"test": 2432232314}';
    expect(sign('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', text)).toBe(
      createHmac('sha256', key).update(text).digest('base64'),
    );
    expect(sign('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', text)).toBe('g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=');
  });
});
