import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { Copies } from '../../../daemon/files/copies.ts';
import { encodeRecord, RecordReader } from '../../../daemon/files/copy-wire.ts';
import { IncomingFile } from '../../../daemon/files/incoming-file.ts';
import { Receiver } from '../../../daemon/files/receiver.ts';
import { Sender } from '../../../daemon/files/sender.ts';
import { Home } from '../../../daemon/home/home.ts';
import { connectLocal } from '../../../daemon/process/local-socket.ts';
import { NiiaError } from '../../../shared/errors.ts';
import { type Answered, answeredSchema, type Sent } from '../../../shared/protocol/copy-methods.ts';
import { streams } from '../../../shared/protocol/session-methods.ts';
import { ask, typedCall } from '../../../shared/rpc/client.ts';
import { Answers } from '../cli/harness.ts';
import { Report, scratch } from './stage.ts';

const asker = { kind: 'machine', id: 'a', name: 'A', role: 'admin' } as const;
const times = { mode: 0o644, mtimeMs: 1_600_000_000_000 };
const id = '0'.repeat(32);

/** Bytes of the partial copies in a folder. */
function partials(folder: string): number[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.part'))
    .map((name) => statSync(join(folder, name)).size);
}

describe('a receiver that is closed in the middle of a large file', () => {
  const size = 8 << 20;
  const piece = Buffer.alloc(64 << 10, 'x');
  const large: Sent = { t: 'large', n: 0, source: 0, path: [], ...times, size, id };
  const nothing = Buffer.alloc(0);

  function receiver(into: string, locks: string): { receiver: Receiver; answers: Answered[]; report: Report } {
    const answers: Answered[] = [];
    const report = new Report();
    const send = async (answer: Answered): Promise<void> => void answers.push(answer);
    const names = [Buffer.from('f')];
    return { receiver: new Receiver({ into: Buffer.from(into), names, locks, send, report }), answers, report };
  }

  /** A partial of some MiB, as a break leaves it. */
  async function begun(): Promise<{ into: string; locks: string; kept: number }> {
    const [into, locks] = [scratch(), scratch()];
    const { receiver: first } = receiver(into, locks);
    await first.open();
    await first.take(large, nothing);
    await first.take({ t: 'from', offset: 0 }, nothing);
    for (let at = 0; at < 64; at++) await first.take({ t: 'data' }, piece);
    await first.close();
    expect(partials(into)).toEqual([64 * piece.length]);
    return { into, locks, kept: 64 * piece.length };
  }

  test('keeps what came, whatever it was doing, and holds no lock [COPY-4]', async () => {
    const { into, locks, kept } = await begun();
    // From before the lock is taken until after all that is there was hashed.
    for (let turns = 0; turns < 40; turns++) {
      const { receiver: next, report } = receiver(into, locks);
      await next.open();
      const taking = next.take(large, nothing).catch(() => undefined);
      for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
      await next.close();
      await taking;
      expect([turns, partials(into), readdirSync(locks), report.failed]).toEqual([turns, [kept], [], []]);
    }
    const { receiver: last, answers } = receiver(into, locks);
    await last.open();
    await last.take(large, nothing);
    expect(answers).toMatchObject([{ t: 'want', offset: kept }]);
    await last.close();
  });

  test('takes nothing that comes behind, and does not lose the file for it [COPY-4]', async () => {
    const { into, locks, kept } = await begun();
    const { receiver: next, report } = receiver(into, locks);
    await next.open();
    await next.take(large, nothing);
    await next.take({ t: 'from', offset: kept }, nothing);
    const writing = next.take({ t: 'data' }, piece);
    const closing = next.close();
    await expect(next.take({ t: 'data' }, piece)).rejects.toMatchObject({ code: 'cancelled' });
    await Promise.all([writing, closing]);
    expect([partials(into), readdirSync(locks), report.failed]).toEqual([[kept + piece.length], [], []]);
  });
});

let answers: Answers | undefined;
afterEach(async () => {
  await answers?.close();
  answers = undefined;
  vi.restoreAllMocks();
});

describe('an asker that keeps no rule', () => {
  test('is refused where it acknowledges what was not sent, at once, and nobody else is', async () => {
    const home = new Home(join(scratch(), 'home'));
    const copies = new Copies(home);
    answers = await Answers.serve(home, {
      'copy.get': (call) => copies.get(call, asker),
      'copy.look': (call) => copies.look(call),
    });
    const file = join(scratch(), 'f');
    writeFileSync(file, '');
    truncateSync(file, 64 << 20);
    const peer = await connectLocal(home.socket('daemon'), { face: 'test', software: 'test' });
    const call = typedCall(peer, 'copy.get', { sources: [file] });
    // It takes nothing of what it asked for either.
    call.sink(streams.input).write(encodeRecord({ t: 'want', n: 0, offset: 0, sha256: '0'.repeat(64) }));
    call.sink(streams.input).write(encodeRecord({ t: 'ack', n: Number.MAX_SAFE_INTEGER, bytes: 0 }));
    await expect(call.result).rejects.toMatchObject({ code: 'bad_request' });
    expect(await ask(peer, 'copy.look', { path: file })).toEqual({ path: file, kind: 'file' });
    peer.close();
  });
});

describe('a large file that is sent to a machine', () => {
  test('goes on after all that was written, each time that the connection breaks [COPY-4]', async () => {
    // A disk that is slower than the connection.
    const write = IncomingFile.prototype.write;
    vi.spyOn(IncomingFile.prototype, 'write').mockImplementation(async function (this: IncomingFile, piece) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      await write.call(this, piece);
    });
    const home = new Home(join(scratch(), 'home'));
    const copies = new Copies(home);
    const server = await Answers.serve(home, { 'copy.put': (call) => copies.put(call, asker) });
    answers = server;
    const [from, into] = [scratch(), scratch()];
    const bytes = randomBytes(8 << 20);
    writeFileSync(join(from, 'f'), bytes);
    let kept = 0;
    for (let attempt = 0; attempt < 4; attempt++) {
      const peer = await connectLocal(home.socket('daemon'), { face: 'test', software: 'test' });
      const call = typedCall(peer, 'copy.put', { into, names: ['f'] }, { key: 'k' });
      let offset: number | undefined;
      const sender: Sender = new Sender({
        sources: [Buffer.from(join(from, 'f'))],
        send: (record, body) => call.sink(streams.input).writeAll(encodeRecord(record, body)),
        report: new Report(),
      });
      const reader = new RecordReader(answeredSchema);
      call.source(streams.output).onData((data) => {
        for (const { header } of reader.take(data)) {
          if (header.t === 'want') offset = header.offset;
          sender.answered(header);
          // The other side is still busy with what was sent before it hears of it.
          if (attempt < 3 && header.t === 'ack' && header.bytes >= 2 << 20) server.breakConnections();
        }
      });
      call.result.catch((error: unknown) => sender.stop(NiiaError.from(error)));
      const sent = await sender.run().then(
        () => 'all',
        () => 'a part',
      );
      expect([attempt, offset, sent]).toEqual([attempt, kept, attempt < 3 ? 'a part' : 'all']);
      if (attempt < 3) {
        await expect.poll(() => readdirSync(home.path('copies')), { timeout: 10_000, interval: 5 }).toEqual([]);
        kept = partials(into)[0] ?? -1;
        expect(kept).toBeGreaterThanOrEqual((attempt + 1) * (2 << 20));
      } else {
        call.sink(streams.input).end();
        await call.result;
      }
      peer.close();
    }
    expect(readFileSync(join(into, 'f')).equals(bytes)).toBe(true);
    expect(readdirSync(into)).toEqual(['f']);
  }, 60_000);
});
