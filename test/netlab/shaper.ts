import { once } from 'node:events';
import { resolve } from 'node:path';
import type { Namespace } from './namespace.ts';

/** What a link does to packets, in each direction alike. */
export interface Shape {
  /** One way; 0 unless said. */
  delayMs?: number;
  lossPercent?: number;
  /** 0 (unless said): as quick as it gets. */
  bitsPerSecond?: number;
  /** What may wait for the rate, in each direction; 256 KiB unless said. What comes beyond is dropped. */
  queueBytes?: number;
}

const program = resolve(import.meta.dirname, 'shaper.py');

/**
 * Forwards frames between two tap devices. Python, because Node opens no tun device without a native package, Debian
 * carries python3 everywhere, and the kernels of small test hosts have neither netem nor tbf.
 */
export class Shaper {
  readonly #set: (shape: Shape) => void;
  readonly close: () => void;

  private constructor(set: (shape: Shape) => void, close: () => void) {
    this.#set = set;
    this.close = close;
  }

  /** Makes both devices in `place`, from where they are moved to where they belong. */
  static async open(python: string, place: Namespace, taps: readonly [string, string], shape: Shape): Promise<Shaper> {
    const child = place.spawn([python, program, ...taps]);
    let stderr = '';
    child.stderr?.setEncoding('utf8').on('data', (part: string) => {
      stderr += part;
    });
    const [first] = await Promise.race([once(child.stdout!, 'data'), once(child, 'close')]);
    if (!Buffer.isBuffer(first)) {
      throw new Error(`the shaper did not start (it needs /dev/net/tun to be open to this user): ${stderr.trim()}`);
    }
    const shaper = new Shaper(
      (change) => child.stdin?.write(`${JSON.stringify(change)}\n`),
      () => child.stdin?.end(),
    );
    shaper.set(shape);
    return shaper;
  }

  /** What is not named stays as it is. */
  set(shape: Shape): void {
    this.#set(shape);
  }
}
