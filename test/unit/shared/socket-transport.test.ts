import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { limits } from '../../../shared/protocol/limits.ts';
import { SocketTransport } from '../../../shared/transport/socket-transport.ts';

let folder: string;
let near: Socket;
let far: Socket;
let server: ReturnType<typeof createServer>;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'niia-socket-'));
  server = createServer().listen(join(folder, 's'));
  await once(server, 'listening');
  near = connect(join(folder, 's'));
  [far] = await once(server, 'connection');
});

afterEach(() => {
  near.destroy();
  far.destroy();
  server.close();
  rmSync(folder, { recursive: true, force: true });
});

function listen(socket: Socket): { messages: Buffer[]; closed: Promise<Error | undefined> } {
  const messages: Buffer[] = [];
  const closed = new Promise<Error | undefined>((resolve) => {
    new SocketTransport(socket).start({
      message: (bytes) => void messages.push(Buffer.from(bytes)),
      writable: () => undefined,
      closed: resolve,
    });
  });
  return { messages, closed };
}

describe('messages over a socket', () => {
  it('arrive whole and in order, whatever their size [NET-1]', async () => {
    const { messages } = listen(far);
    const transport = new SocketTransport(near);
    transport.start({ message: () => undefined, writable: () => undefined, closed: () => undefined });
    const sizes = [0, 1, 3, 4, 5, 4095, 4096, 70_000, 500_000, 2];
    for (const size of sizes) transport.send(Buffer.alloc(3, size & 0xff), Buffer.alloc(size, 7));
    await expect.poll(() => messages.length).toBe(sizes.length);
    expect(messages.map((message) => message.length - 3)).toEqual(sizes);
    expect(
      messages.every(
        (message, i) => message[0] === (sizes[i]! & 0xff) && message.subarray(3).every((byte) => byte === 7),
      ),
    ).toBe(true);
  });

  it('arrive whole when the bytes come one by one [NET-1]', async () => {
    const { messages } = listen(far);
    near.setNoDelay(true);
    for (const byte of [0, 0, 0, 2, 65, 66, 0, 0, 0, 0, 0, 0, 0, 1, 67]) {
      near.write(Uint8Array.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await expect.poll(() => messages.map(String)).toEqual(['AB', '', 'C']);
  });

  it('over the limit close the connection at once [NET-2]', async () => {
    const { closed } = listen(far);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(limits.message + 1);
    near.write(length);
    expect(await closed).toMatchObject({ code: 'too_large' });
  });

  it('cut off in the middle are dropped with the connection', async () => {
    const { messages, closed } = listen(far);
    near.end(Uint8Array.of(0, 0, 0, 9, 1, 2));
    expect(await closed).toBeUndefined();
    expect(messages).toEqual([]);
  });
});
