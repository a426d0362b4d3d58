import { describe, expect, it } from 'vitest';
import type { AttachmentView } from '../../../extension/terminal/attachment.ts';
import { Attachment } from '../../../extension/terminal/attachment.ts';
import { NiiaError } from '../../../shared/errors.ts';
import type { ParamsOf, ResultOf } from '../../../shared/protocol/methods.ts';
import { streams } from '../../../shared/protocol/session-methods.ts';
import type { IncomingCall, Reply } from '../../../shared/rpc/call.ts';
import { Peer } from '../../../shared/rpc/peer.ts';
import { memoryTransportPair } from '../../../shared/transport/memory-transport.ts';

const size = { cols: 80, rows: 24 };

/** A session that speaks the protocol over a log in memory, and a daemon whose connections break when told to. */
class LogSession {
  readonly typed: number[] = [];
  readonly attachments: Array<ParamsOf<'session.attach'>> = [];
  readonly connections: Peer[] = [];
  refuse: ((params: ParamsOf<'session.attach'>) => NiiaError | undefined) | undefined;
  firstKept = 0;
  #log: number[] = [];
  #wake = new Set<() => void>();
  #exit: number | undefined;

  write(bytes: Iterable<number>): void {
    this.#log.push(...bytes);
    for (const wake of this.#wake) wake();
  }

  exit(code: number): void {
    this.#exit = code;
    for (const wake of this.#wake) wake();
  }

  connect(): Peer {
    const [ours, theirs] = memoryTransportPair();
    new Peer(theirs, { face: 'daemon', software: 'test', serve: (call) => this.#serve(call) });
    const peer = new Peer(ours, { face: 'extension', software: 'test' });
    this.connections.push(peer);
    return peer;
  }

  breakOff(): void {
    this.connections.at(-1)?.close();
  }

  async #serve(call: IncomingCall): Promise<Reply> {
    const params = call.header.p as ParamsOf<'session.attach'>;
    this.attachments.push(params);
    const refused = this.refuse?.(params);
    if (refused) throw refused;
    const found = { session: 's', machine: 'm' };
    const sink = call.sink(streams.output);
    const { since } = params;
    let offset = since !== undefined && since >= this.firstKept ? since : this.#log.length;
    call.emit({ type: 'attached', ...found, name: 'name', offset, inputOffset: this.typed.length, ...size });
    if (offset !== since) {
      const picture = new TextEncoder().encode(`<${offset}>`);
      const gap = since === undefined ? null : { from: since, to: offset };
      call.emit({ type: 'snapshot', offset, length: picture.length, gap, ...size });
      sink.write(picture);
    }
    let position = params.inputOffset ?? this.typed.length;
    call.source(streams.input).onData((bytes) => {
      for (const byte of bytes) if (position++ >= this.typed.length) this.typed.push(byte);
      call.emit({ type: 'typed', inputOffset: this.typed.length });
    });
    const result = await new Promise<ResultOf<'session.attach'>>((resolve, reject) => {
      const pump = (): void => {
        if (offset < this.#log.length) sink.write(Uint8Array.from(this.#log.slice(offset)));
        offset = this.#log.length;
        if (this.#exit === undefined) return;
        resolve({ ...found, offset, reason: 'exited', exitCode: this.#exit, signal: null });
      };
      this.#wake.add(pump);
      call.signal.addEventListener('abort', () => {
        this.#wake.delete(pump);
        reject(call.signal.reason);
      });
      pump();
    });
    return { value: result };
  }
}

class Screen implements AttachmentView {
  readonly events: string[] = [];
  shown: number[] = [];
  /** Held back where set: a viewer that is slow. */
  gate: Promise<void> | undefined;
  readonly #waiting = new Set<() => void>();

  show(bytes: Uint8Array): Promise<void> | undefined {
    this.shown.push(...bytes);
    this.#tell();
    return this.gate;
  }
  picture({ gap }: { gap: { from: number; to: number } | null }): void {
    this.#note(gap ? `gap ${gap.from}-${gap.to}` : 'picture');
  }
  resized(): void {
    this.#tell();
  }
  attached(_: string, readOnly: boolean): void {
    this.#note(readOnly ? 'attached read-only' : 'attached');
  }
  titled(title: string): void {
    this.#note(`title ${title}`);
  }
  interrupted(error: NiiaError): void {
    this.#note(`interrupted ${error.code}`);
  }
  ended(exitCode: number | null): void {
    this.#note(`ended ${exitCode}`);
  }
  failed(error: NiiaError): void {
    this.#note(`failed ${error.code}`);
  }

  get text(): string {
    return Buffer.from(this.shown).toString();
  }

  /** Resolves when it holds, looked at after each thing that is told. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#waiting.add(resolve));
  }

  #note(event: string): void {
    this.events.push(event);
    this.#tell();
  }
  #tell(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }
}

function stage() {
  const session = new LogSession();
  const screen = new Screen();
  const attachment = new Attachment({
    connected: async () => session.connect(),
    ...{ machine: 'm', session: 's', client: 'c', size, view: screen },
    random: () => 0,
  });
  return { session, screen, attachment };
}

describe('an attachment', () => {
  it('shows every byte once and types every byte once, whenever its connections break', async () => {
    const { session, screen, attachment } = stage();
    const run = attachment.run();
    await screen.until(() => screen.text === '<0>');
    screen.shown = [];
    let wanted = '';
    let typed = '';
    for (let round = 0; round < 60; round++) {
      const output = `output ${round}, `;
      const input = `input ${round}, `;
      wanted += output;
      typed += input;
      if (round % 3 === 0) session.breakOff();
      session.write(Buffer.from(output));
      attachment.type(Buffer.from(input));
      if (round % 4 === 1) session.breakOff();
      if (round % 5 === 2) await screen.until(() => screen.text === wanted);
    }
    session.exit(7);
    await run;
    expect(screen.text).toBe(wanted);
    expect(Buffer.from(session.typed).toString()).toBe(typed);
    expect(screen.events.at(-1)).toBe('ended 7');
    expect(session.connections.length).toBeGreaterThan(10);
  });

  it('shows again nothing of what a slow viewer had still to take when the connection broke', async () => {
    const { session, screen, attachment } = stage();
    const run = attachment.run();
    await screen.until(() => screen.text === '<0>');
    screen.shown = [];
    let open = (): void => undefined;
    screen.gate = new Promise((resolve) => {
      open = resolve;
    });
    const output = Buffer.from(Array.from({ length: 8_000 }, (_, at) => `${at},`).join(''));
    session.write(output);
    await screen.until(() => screen.shown.length > 0);
    session.breakOff();
    await screen.until(() => screen.events.includes('interrupted link_lost'));
    screen.gate = undefined;
    open();
    session.exit(0);
    await run;
    expect(screen.text).toBe(output.toString());
  });

  it('says what is missing where the log no longer has it', async () => {
    const { session, screen, attachment } = stage();
    const run = attachment.run();
    await screen.until(() => screen.text === '<0>');
    session.write(Buffer.from('seen'));
    await screen.until(() => screen.text.endsWith('seen'));
    session.breakOff();
    session.write(Buffer.from('missed'));
    session.firstKept = 10;
    await screen.until(() => screen.text.endsWith('<10>'));
    session.exit(0);
    await run;
    expect(screen.events).toContain('gap 4-10');
  });

  it('looks on where it may not type', async () => {
    const { session, screen, attachment } = stage();
    session.refuse = ({ readOnly }) => (readOnly ? undefined : new NiiaError('denied', 'a viewer may not'));
    const run = attachment.run();
    await screen.until(() => screen.events.includes('attached read-only'));
    expect(attachment.type(Buffer.from('x'))).toBe(false);
    session.exit(0);
    await run;
    expect(session.typed).toEqual([]);
  });

  it('gives up where trying again is no use, and says why', async () => {
    const { session, screen, attachment } = stage();
    session.refuse = () => new NiiaError('no_such_session', 'there is no session s');
    await attachment.run();
    expect(screen.events).toEqual(['failed no_such_session']);
  });

  it('waits for a machine that is offline, and tries at once when it is woken', async () => {
    const { session, screen, attachment } = stage();
    let online = false;
    session.refuse = () => (online ? undefined : new NiiaError('offline', 'm is offline'));
    const run = attachment.run();
    // By then the pauses are longer than this test may take.
    await screen.until(() => screen.events.length === 8);
    online = true;
    attachment.wake();
    await screen.until(() => screen.events.includes('attached'));
    session.exit(0);
    await run;
  });

  it('leaves, and nothing is shown or tried after that', async () => {
    const { session, screen, attachment } = stage();
    const run = attachment.run();
    await screen.until(() => screen.events.includes('attached'));
    attachment.detach();
    await run;
    session.write(Buffer.from('later'));
    expect(session.attachments).toHaveLength(1);
    expect(screen.events.filter((event) => /failed|ended|interrupted/.test(event))).toEqual([]);
  });
});
