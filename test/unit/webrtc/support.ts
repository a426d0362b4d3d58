import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { afterEach } from 'vitest';
import { Log } from '../../../daemon/home/log.ts';
import type { P2pSignal } from '../../../daemon/webrtc/p2p-signal.ts';
import type { P2pAttempt, P2pEvents, WebRtcOptions } from '../../../daemon/webrtc/webrtc.ts';
import { WebRtc } from '../../../daemon/webrtc/webrtc.ts';
import type { NiiaError } from '../../../shared/errors.ts';
import type { Transport, TransportHandler } from '../../../shared/transport/transport.ts';

const cleanups: Array<() => unknown> = [];

/** Runs after the test, last registered first. */
export function cleanup(task: () => unknown): void {
  cleanups.push(task);
}

afterEach(async () => {
  for (const task of cleanups.splice(0).reverse()) await task();
});

const root = fileURLToPath(new URL('../../..', import.meta.url));

/**
 * The helper as the product ships it, in a folder of its own, which the caller removes; or in one that has its own
 * `node_modules`.
 */
export async function bundleHelper(into?: string): Promise<{ folder: string; entry: string }> {
  const folder = into ?? mkdtempSync(join(tmpdir(), 'niia-webrtc-'));
  if (into === undefined) symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  await build({
    absWorkingDir: root,
    entryPoints: { webrtc: 'daemon/webrtc/main.ts' },
    outdir: folder,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    splitting: true,
    outExtension: { '.js': '.mjs' },
    external: ['wrtc'],
    banner: {
      js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
    },
  });
  return { folder, entry: join(folder, 'webrtc.mjs') };
}

export function webRtc(options: Partial<WebRtcOptions> & { entry: string }): WebRtc {
  const rtc = new WebRtc({ log: new Log('webrtc'), iceServers: () => [], ...options });
  cleanup(() => rtc.close());
  return rtc;
}

/** One end of an attempt, and what it was told. */
export class End {
  readonly attempt: P2pAttempt;
  readonly sent: P2pSignal[] = [];
  /** The transport; rejects where the attempt failed. */
  readonly connected: Promise<Transport>;
  #to: ((signal: P2pSignal) => void) | undefined;

  constructor(rtc: WebRtc, initiator: boolean) {
    const { promise, resolve, reject } = deferred<Transport>();
    this.connected = promise;
    promise.catch(() => undefined);
    const events: P2pEvents = {
      signal: (signal) => {
        this.sent.push(signal);
        this.#to?.(signal);
      },
      connected: resolve,
      failed: (error) => reject(error),
    };
    this.attempt = rtc.open(initiator, events);
  }

  /** Carries our signals to the other end, through `by` where it is given. */
  carryTo(other: End, by: (signal: P2pSignal) => P2pSignal[] = (signal) => [signal]): void {
    this.carry((signal) => {
      for (const one of by(signal)) setImmediate(() => other.attempt.signal(one));
    });
  }

  carry(to: (signal: P2pSignal) => void): void {
    for (const signal of this.sent) to(signal);
    this.#to = to;
  }

  failure(): Promise<NiiaError> {
    return this.connected.then(
      () => Promise.reject(new Error('it connected')),
      (error) => error,
    );
  }
}

export function ends(a: WebRtc, b: WebRtc): [End, End] {
  const one = new End(a, true);
  const other = new End(b, false);
  one.carryTo(other);
  other.carryTo(one);
  return [one, other];
}

export async function connect(a: WebRtc, b: WebRtc): Promise<[Receiver, Receiver]> {
  const [one, other] = ends(a, b);
  const [left, right] = await Promise.all([one.connected, other.connected]);
  return [new Receiver(left), new Receiver(right)];
}

/** What a started transport told. */
export class Receiver implements TransportHandler {
  readonly transport: Transport;
  readonly messages: Uint8Array[] = [];
  readonly ended: Promise<Error | undefined>;
  closedCalls = 0;
  /** Received so far. */
  bytes = 0;
  onMessage: (bytes: Uint8Array) => void = (bytes) => this.messages.push(bytes);
  #end: (error: Error | undefined) => void;
  #wake: Array<() => void> = [];
  #writable: Array<() => void> = [];

  constructor(transport: Transport) {
    this.transport = transport;
    const { promise, resolve } = deferred<Error | undefined>();
    this.ended = promise;
    this.#end = resolve;
    transport.start(this);
  }

  message(bytes: Uint8Array): void {
    this.bytes += bytes.length;
    this.onMessage(bytes);
    for (const wake of this.#wake.splice(0)) wake();
  }

  writable(): void {
    for (const wake of this.#writable.splice(0)) wake();
  }

  closed(error?: Error): void {
    this.closedCalls++;
    this.#end(error);
    for (const wake of this.#wake.splice(0)) wake();
  }

  /** Resolves once the condition holds; asked after each message. Rejects where the transport ends before. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      if (this.closedCalls > 0) throw new Error('the transport has ended', { cause: await this.ended });
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  /** Resolves when it can be written to again; rejects where it ends before. */
  async drained(): Promise<void> {
    const ended = this.ended.then((cause) => {
      throw new Error('the transport has ended', { cause });
    });
    await Promise.race([new Promise<void>((resolve) => this.#writable.push(resolve)), ended]);
  }
}

export function openFiles(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

export function isAlive(pid: number): boolean {
  try {
    // A process that ended and was not waited for by its parent yet is a zombie.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

export function remove(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
}

function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (error: unknown) => void } {
  let resolve: (value: T) => void = () => undefined;
  let reject: (error: unknown) => void = () => undefined;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
