import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { encodeRecord, RecordReader } from '../../../daemon/files/copy-wire.ts';
import { Receiver } from '../../../daemon/files/receiver.ts';
import { type CopyReport, type Place, Sender } from '../../../daemon/files/sender.ts';
import { NiiaError } from '../../../shared/errors.ts';
import { answeredSchema, type Sent, sentSchema } from '../../../shared/protocol/copy-methods.ts';

export function scratch(): string {
  const folder = mkdtempSync(join(tmpdir(), 'niia-copy-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }), 60_000);
  return folder;
}

export class Report implements CopyReport {
  readonly counts = { file: 0, folder: 0, link: 0, bytes: 0 };
  readonly failed: string[] = [];
  readonly skipped: string[] = [];
  readonly warnings: string[] = [];
  copied(kind: 'file' | 'folder' | 'link', bytes: number): void {
    this.counts[kind]++;
    this.counts.bytes += bytes;
  }
  missed(name: string, message: string, warning: boolean): void {
    (warning ? this.skipped : this.failed).push(`${name}: ${message}`);
  }
  warned(name: string, message: string): void {
    this.warnings.push(`${name}: ${message}`);
  }
  progress(): void {
    // Counted by what was copied.
  }
  total(): void {
    // Only a bar needs it.
  }
}

export interface CopyOptions {
  sources: string[];
  into: string;
  names: string[];
  after?: Place | undefined;
  locks?: string;
  /** Looks at, or does something before, each record; what it throws cuts the connection. */
  on?: (record: Sent, body: Uint8Array | undefined) => void | Promise<void>;
}

/** Copies as two machines do, over the same bytes; what both ends say of it. */
export async function copy({
  sources,
  into,
  names,
  after,
  locks = scratch(),
  on,
}: CopyOptions): Promise<{ sent: Report; received: Report; place: Place | undefined; error: unknown }> {
  const sent = new Report();
  const received = new Report();
  const records = new RecordReader(sentSchema);
  const answers = new RecordReader(answeredSchema);
  const receiver = new Receiver({
    into: Buffer.from(into),
    names: names.map((name) => Buffer.from(name)),
    locks,
    send: async (answer) => {
      for (const { header } of answers.take(encodeRecord(answer))) sender.answered(header);
    },
    report: received,
  });
  let turn: Promise<void> = Promise.resolve();
  let cut: unknown;
  const sender: Sender = new Sender({
    sources: sources.map((source) => Buffer.from(source)),
    after,
    send: (record, body) => {
      turn = turn.then(async () => {
        if (cut) throw cut;
        await on?.(record, body);
        for (const taken of records.take(encodeRecord(record, body))) await receiver.take(taken.header, taken.body);
      });
      turn.catch((error: unknown) => {
        cut ??= error;
        sender.stop(NiiaError.from(error));
      });
      return turn;
    },
    report: sent,
  });
  await receiver.open();
  let error: unknown;
  try {
    await sender.run();
  } catch (cause) {
    error = cause;
  }
  await receiver.close();
  return { sent, received, place: sender.place, error };
}

/** Hands records to a receiver as a sender that keeps no rule may. */
export async function hostile(
  into: string,
  records: Array<[unknown, Uint8Array?]>,
  name = 'top',
): Promise<{ report: Report; error: unknown }> {
  const report = new Report();
  const receiver = new Receiver({
    into: Buffer.from(into),
    names: [Buffer.from(name)],
    locks: scratch(),
    send: async () => undefined,
    report,
  });
  const reader = new RecordReader(sentSchema);
  await receiver.open();
  let error: unknown;
  try {
    for (const [header, body] of records) {
      for (const taken of reader.take(encodeRecord(header, body))) await receiver.take(taken.header, taken.body);
    }
  } catch (cause) {
    error = cause;
  }
  await receiver.close();
  return { report, error };
}
