import fc from 'fast-check';
import { Random } from '../../sim/random.ts';

/** Numbers that lengths, counters and indexes are replaced with. */
const oddNumbers = [0n, 1n, 0x7fn, 0xffn, 0x7fffn, 0xffffn, 0x7fffffffn, 0x80000000n, 0xffffffffn, (1n << 53n) - 1n];
const oddText = ['\u0000', '\u{10ffff}', '\ufeff', '\\ud800', '1e999', '-0', '"__proto__"', '[[[[', '}}}}', '\u202e'];
/** Bytes that no UTF-8 text has, or that end in the middle of a character. */
const notUtf8 = [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe2, 0x82], [0x80]];

export interface BytesOptions {
  /** Well-formed messages; asked for once, when they are first needed. */
  valid: () => readonly Uint8Array[];
  /** Longest input, bytes. */
  most?: number;
}

/**
 * Bytes as an attacker sends them: anything at all, and more often well-formed messages of which something is changed:
 * bits, numbers, length, order. Everything follows from fast-check's random numbers, so that its seed gives it again.
 */
export function hostileBytes({ valid, most = 4_096 }: BytesOptions): fc.Arbitrary<Uint8Array> {
  return new HostileBytes(valid, most);
}

class HostileBytes extends fc.Arbitrary<Uint8Array> {
  readonly #valid: () => readonly Uint8Array[];
  readonly #most: number;
  #corpus: readonly Uint8Array[] | undefined;

  constructor(valid: () => readonly Uint8Array[], most: number) {
    super();
    this.#valid = valid;
    this.#most = most;
  }

  override generate(source: fc.Random): fc.Value<Uint8Array> {
    this.#corpus ??= this.#valid();
    const random = new Random(source.nextInt());
    return new fc.Value(hostile(this.#corpus, random).subarray(0, this.#most), undefined);
  }

  override canShrinkWithoutContext(_: unknown): _ is Uint8Array {
    return false;
  }

  override shrink(value: Uint8Array): fc.Stream<fc.Value<Uint8Array>> {
    return fc.stream(simpler(value));
  }
}

function* simpler(value: Uint8Array): Generator<fc.Value<Uint8Array>> {
  for (let length = 0; length < value.length; length = Math.ceil((value.length + length + 1) / 2)) {
    yield new fc.Value(value.slice(0, length), undefined);
  }
  for (let at = 0; at < Math.min(value.length, 256); at++) {
    if (value[at] === 0) continue;
    const copy = Uint8Array.from(value);
    copy[at] = 0;
    yield new fc.Value(copy, undefined);
  }
}

/** One input, made from `corpus`. */
export function hostile(corpus: readonly Uint8Array[], random: Random): Uint8Array {
  if (corpus.length === 0 || random.chance(0.1)) return noise(random, random.chance(0.9) ? 64 : 2_000);
  let bytes: Uint8Array = Uint8Array.from(random.pick(corpus));
  if (random.chance(0.03)) return bytes;
  const changes = random.integer(1, 4);
  for (let i = 0; i < changes; i++) bytes = changed(bytes, corpus, random);
  return bytes;
}

function changed(bytes: Uint8Array, corpus: readonly Uint8Array[], random: Random): Uint8Array {
  const { length } = bytes;
  const at = random.integer(0, Math.max(0, length - 1));
  switch (random.integer(0, 9)) {
    case 0:
      if (length > 0) bytes[at] = (bytes[at] ?? 0) ^ (1 << random.integer(0, 7));
      return bytes;
    case 1:
      if (length > 0) bytes[at] = random.integer(0, 255);
      return bytes;
    case 2:
      return bytes.subarray(0, at);
    case 3:
      return joined(bytes, noise(random, 40));
    case 4:
      return withNumber(bytes, random.chance(0.5) ? Math.min(at, 24) : at, random);
    case 5: {
      const other = random.pick(corpus);
      return joined(bytes.subarray(0, at), other.subarray(random.integer(0, other.length)));
    }
    case 6: {
      const end = random.integer(at, length);
      return joined(bytes.subarray(0, end), bytes.subarray(at));
    }
    case 7:
      return joined(bytes.subarray(0, at), bytes.subarray(random.integer(at, length)));
    case 8:
      return joined(bytes.subarray(0, at), Uint8Array.from(random.pick(notUtf8)), bytes.subarray(at));
    default:
      return joined(bytes.subarray(0, at), Buffer.from(random.pick(oddText)), bytes.subarray(at));
  }
}

function withNumber(bytes: Uint8Array, at: number, random: Random): Uint8Array {
  const value = random.pick(oddNumbers) + BigInt(random.integer(-1, 1));
  const size = random.pick([1, 2, 4, 8]);
  for (let i = 0; i < size && at + i < bytes.length; i++) {
    bytes[at + i] = Number((value >> BigInt(8 * (size - 1 - i))) & 0xffn);
  }
  return bytes;
}

export function noise(random: Random, most: number): Uint8Array {
  const bytes = new Uint8Array(random.integer(0, most));
  for (let i = 0; i < bytes.length; i++) bytes[i] = random.integer(0, 255);
  return bytes;
}

export function joined(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}
