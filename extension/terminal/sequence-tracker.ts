/**
 * Knows whether a stream of terminal output stands between two control sequences or within one: only between may
 * something of ours be written without tearing one apart. Sequences after ECMA-48: CSI ends with a final byte, strings
 * (OSC, DCS, SOS, PM, APC) with ST, OSC with BEL as well; CAN and SUB break any off.
 */
export class SequenceTracker {
  #state: 'ground' | 'escape' | 'csi' | 'osc' | 'string' = 'ground';

  /** Between two sequences. */
  get ground(): boolean {
    return this.#state === 'ground';
  }

  feed(text: string): void {
    let at = 0;
    while (at < text.length) {
      const { pattern, next } = rules[this.#state];
      pattern.lastIndex = at;
      const found = pattern.exec(text);
      if (!found) return;
      this.#state = next(found[0]);
      at = found.index + 1;
    }
  }
}

type State = 'ground' | 'escape' | 'csi' | 'osc' | 'string';

const c1: Record<string, State> = {
  '\x1b': 'escape',
  '\x9b': 'csi',
  '\x9d': 'osc',
  '\x90': 'string',
  '\x98': 'string',
  '\x9e': 'string',
  '\x9f': 'string',
};
const afterEscape: Record<string, State> = {
  '\x1b': 'escape',
  '[': 'csi',
  ']': 'osc',
  P: 'string',
  X: 'string',
  '^': 'string',
  _: 'string',
};

/** For each state the characters that matter next, and where they lead. */
const rules: Record<State, { pattern: RegExp; next: (char: string) => State }> = {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  ground: { pattern: /[\x1b\x90\x98\x9b\x9d-\x9f]/g, next: (char) => c1[char] ?? 'ground' },
  // Intermediates (0x20 to 0x2f) lead to a further character; anything else ends it or begins something longer.
  escape: { pattern: /[^ -/]/g, next: (char) => afterEscape[char] ?? 'ground' },
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  csi: { pattern: /[\x18\x1a\x1b@-~]/g, next: (char) => (char === '\x1b' ? 'escape' : 'ground') },
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  osc: { pattern: /[\x07\x18\x1a\x1b\x9c]/g, next: (char) => (char === '\x1b' ? 'escape' : 'ground') },
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  string: { pattern: /[\x18\x1a\x1b\x9c]/g, next: (char) => (char === '\x1b' ? 'escape' : 'ground') },
};
