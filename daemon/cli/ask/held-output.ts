import { NiiaError } from '../../../shared/errors.ts';

/** Bytes of each output that `--json` holds. */
const mostHeld = 16 << 20;

/** An output that is kept for `--json`. */
export class HeldOutput {
  readonly #name: string;
  readonly #chunks: Uint8Array[] = [];
  #bytes = 0;

  constructor(name: string) {
    this.#name = name;
  }

  async add(bytes: Uint8Array): Promise<void> {
    this.#bytes += bytes.length;
    if (this.#bytes > mostHeld) {
      throw new NiiaError(
        'too_large',
        `${this.#name} of the command is more than the ${mostHeld >> 20} MiB that --json holds`,
        'Without --json it streams, whatever its length.',
      );
    }
    this.#chunks.push(bytes);
  }

  /** As UTF-8; what is not is replaced. */
  get text(): string {
    return Buffer.concat(this.#chunks).toString('utf8');
  }
}
