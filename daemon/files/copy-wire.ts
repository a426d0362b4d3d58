import * as v from 'valibot';
import { NiiaError } from '../../shared/errors.ts';
import { limits } from '../../shared/protocol/limits.ts';

/** Bytes that come with one record at most; a file up to this size goes in one. */
export const mostBody = 64 << 10;
const headBytes = 8;

/** A record: length of its JSON, length of its body (four bytes each), JSON, body. */
export function encodeRecord(header: unknown, body?: Uint8Array): Buffer {
  const json = Buffer.from(JSON.stringify(header));
  const head = Buffer.alloc(headBytes);
  head.writeUInt32BE(json.length, 0);
  head.writeUInt32BE(body?.length ?? 0, 4);
  return body ? Buffer.concat([head, json, body]) : Buffer.concat([head, json]);
}

/** Records out of a stream of bytes, in whatever pieces they come. Throws `bad_request` and `too_large`. */
export class RecordReader<S extends v.GenericSchema> {
  readonly #schema: S;
  #pieces: Uint8Array[] = [];
  #length = 0;
  #needed = headBytes;

  constructor(schema: S) {
    this.#schema = schema;
  }

  *take(bytes: Uint8Array): Generator<{ header: v.InferOutput<S>; body: Uint8Array }> {
    this.#pieces.push(bytes);
    this.#length += bytes.length;
    while (this.#length >= this.#needed) {
      const all = this.#pieces.length === 1 ? this.#pieces[0] : Buffer.concat(this.#pieces);
      if (!all) return;
      this.#pieces = [all];
      const view = new DataView(all.buffer, all.byteOffset, all.byteLength);
      const json = view.getUint32(0);
      const body = view.getUint32(4);
      if (json > limits.header || body > mostBody) throw new NiiaError('too_large', 'a record of a copy is too large');
      this.#needed = headBytes + json + body;
      if (this.#length < this.#needed) return;
      const header = this.#parse(all.subarray(headBytes, headBytes + json));
      const rest = all.subarray(this.#needed);
      const own = all.subarray(headBytes + json, this.#needed);
      this.#pieces = rest.length > 0 ? [rest] : [];
      this.#length = rest.length;
      this.#needed = headBytes;
      yield { header, body: own };
    }
  }

  #parse(bytes: Uint8Array): v.InferOutput<S> {
    let value: unknown;
    try {
      value = JSON.parse(Buffer.from(bytes).toString('utf8'));
    } catch (cause) {
      throw new NiiaError('bad_request', 'a record of a copy is not JSON', undefined, { cause });
    }
    const parsed = v.safeParse(this.#schema, value);
    if (!parsed.success) throw new NiiaError('bad_request', 'a record of a copy is malformed');
    return parsed.output;
  }
}
