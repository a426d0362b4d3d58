import type { Mutation } from './bundle.ts';

const at = (name: string) => `daemon/mesh/${name}.ts`;

/** Defects that somebody might bring in one day, each of which the simulation must notice. */
export const mutants: Mutation[] = [
  {
    name: 'acknowledges one frame too many',
    file: at('link-transfer'),
    text: "{ kind: 'ack', received: this.session.received }",
    replacement: "{ kind: 'ack', received: this.session.received + 1 }",
  },
  {
    name: 'sends no acknowledgements',
    file: at('link-transfer'),
    text: "if (path) this.#control(path, { kind: 'ack', received: this.session.received });",
    replacement: '',
  },
  {
    name: 'accepts what comes after a gap',
    file: at('link-session'),
    text: "if (frame.counter > this.#received) return { is: 'gap' };\n    this.#received++;",
    replacement: 'this.#received = frame.counter + 1;',
  },
  {
    name: 'accepts a frame twice',
    file: at('link-session'),
    text: "if (frame.counter < this.#received) return { is: 'duplicate' };",
    replacement: '',
  },
  {
    name: 'believes frames that are forged',
    file: 'test/sim/cheap-crypto.ts',
    text: 'Buffer.compare(tagOf(counter, associated, ciphertext), tag) === 0 ? ciphertext : undefined',
    replacement: 'tag.length === 16 && tagOf(counter, associated, ciphertext) ? ciphertext : undefined',
  },
  {
    name: 'leaves out the first frame of the tail',
    file: at('link-outbox'),
    text: 'this.#next = this.#acknowledged;\n    this.#inFlight = 0;',
    replacement: 'this.#next = this.#acknowledged + 1;\n    this.#inFlight = 0;',
  },
  {
    name: 'sends other bytes the second time',
    late: true,
    file: at('link-outbox'),
    text: 'this.#next++;\n    this.#highest',
    replacement:
      'if (this.#next < this.#highest && frame.body[0] !== undefined) frame.body[0] ^= 1;\n    this.#next++;\n    this.#highest',
  },
  {
    name: 'gives every frame the same counter after a while',
    file: at('link-session'),
    text: 'const counter = this.outbox.end;',
    replacement: 'const counter = Math.min(this.outbox.end, 100);',
  },
  {
    name: 'drops what is acknowledged and one more',
    file: at('link-outbox'),
    text: 'for (let counter = this.#acknowledged; counter < received; counter++) {',
    replacement: 'for (let counter = this.#acknowledged; counter <= received; counter++) {',
  },
  {
    name: 'never finds that a path works one way only',
    late: true,
    file: at('link-path'),
    text: 'return this.#unprovedSince === undefined\n      ?',
    replacement: 'return this.id > 0\n      ?',
  },
  {
    name: 'never leaves a path on which data stands still',
    late: true,
    file: at('link-transfer'),
    text: "this.#paths.active?.avoid(now, 'data did not move on it');",
    replacement: '',
  },
  {
    name: 'never leaves a path on which data crawls',
    late: true,
    file: at('link-transfer'),
    text: 'this.#paths.judgeRate(now, oldestAt === undefined ? 0 : now - oldestAt, inFlight);',
    replacement: '',
  },
  {
    name: 'goes back at once to a path that failed',
    late: true,
    file: at('link-path'),
    text: 'this.avoidUntil = now + wait;',
    replacement: '',
  },
  {
    name: 'moves whenever another path is quicker at the moment',
    late: true,
    file: at('link-ranking'),
    text: 'return than.ownRttMs > by.factor * path.ownRttMs && than.ownRttMs - path.ownRttMs > by.ms;',
    replacement: 'return than.ownRttMs > path.ownRttMs + 0 * by.ms;',
  },
  {
    name: 'moves to and fro between two paths of a kind',
    file: at('link-ranking'),
    text: 'if (rank[path.kind] === rank[active.kind]) return false;',
    replacement: 'if (rank[path.kind] >= rank[active.kind]) return true;',
  },
  {
    name: 'takes a time asleep for silence',
    file: at('link'),
    text: 'if (late < timing.sleptMs) return;',
    replacement: 'if (late > 0) return;',
  },
  {
    name: 'begins a session before the other side proved its keys',
    file: at('link-setup'),
    text: 'return { established: pending, control };',
    replacement: 'return undefined;',
  },
  {
    name: 'never repeats a handshake',
    late: true,
    file: at('link-setup'),
    text: 'else if (attempt.noise.length > 0) this.#repeat(attempt, now);',
    replacement: 'else if (attempt.noise.length > 0) attempt.sentAt = now;',
  },
  {
    name: 'never asks for a restart',
    file: at('link-setup'),
    text: 'this.#options.send(path, restartFrame(tag));',
    replacement: '',
  },
  {
    name: 'ends a session that both sides still have',
    file: at('link-setup'),
    text: '(id) => id !== undefined && id === theirs.session,',
    replacement: "(id) => id !== undefined && id === 'none',",
  },
  {
    name: 'has no bound on what it takes',
    file: at('link-transfer'),
    text: 'if (outbox.unsent >= this.#mostUnsent || outbox.bytes >= limits.window) this.#blocked = true;',
    replacement: '',
  },
  {
    name: 'does not say when it takes more',
    file: at('link-transfer'),
    text: "    this.#blocked = false;\n    this.#emit({ do: 'writable' });",
    replacement: '',
  },
  {
    name: 'never takes a new key',
    file: at('link-crypto'),
    text: 'this.#previous = before;\n      this.#current = next;',
    replacement: '',
  },
  {
    name: 'keeps the fragments of one message for the next',
    file: at('link-session'),
    text: 'parts.length = 0;',
    replacement: '',
  },
  {
    name: 'opens more than once',
    file: at('link-live'),
    text: 'this.#opened = true;\n',
    replacement: 'this.#opened = this.since < 0;\n',
  },
];
