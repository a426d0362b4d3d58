import type { Mutation } from '../sim/bundle.ts';

const core = (name: string) => `daemon/connector/core/${name}.ts`;
const machine = 'test/sim-runs/machine.ts';

/** Defects that somebody might bring in one day, each of which the simulation must notice. */
export const mutants: Mutation[] = [
  // Consensus
  {
    name: 'takes every journal for as long as its own',
    file: core('messages'),
    text: 'return a.term < b.term || (a.term === b.term && a.index < b.index);',
    replacement: 'return a.term > b.index + 1e9;',
  },
  {
    name: 'votes twice in a term',
    late: true,
    file: core('ballot'),
    text: 'if (this.#vote !== null && this.#vote !== from) return false;',
    replacement: '',
  },
  {
    name: 'elects another while a leader may still act',
    late: true,
    file: core('ballot'),
    text: 'if (now < this.#heardAt + this.#quietMs) return false;',
    replacement: '',
  },
  {
    name: 'leads for longer than its voters promised',
    file: core('replica'),
    text: '(times[this.#majority - 1] ?? Number.NEGATIVE_INFINITY) + this.#timing.leaseMs',
    replacement: '(times[this.#majority - 1] ?? Number.NEGATIVE_INFINITY) + 3 * this.#timing.leaseMs',
  },
  {
    name: 'takes what it has for what the majority has',
    file: core('replica'),
    text: 'const index = matches[this.#majority - 1] ?? 0;',
    replacement: 'const index = matches[0] ?? 0;',
  },
  {
    name: 'does not look whether the journals agree so far',
    late: true,
    file: core('replica'),
    text: 'prev.index === 0 || this.#log[prev.index - 1]?.term === prev.term;',
    replacement: 'prev.index <= this.#log.length;',
  },
  {
    name: 'keeps entries that another leader had',
    file: core('replica'),
    text: 'if (this.#log[index - 1]?.term === entry.term) continue;',
    replacement: 'if (this.#log[index - 1]) continue;',
  },
  {
    name: 'cuts its journal back to what an old message had',
    file: core('replica'),
    text: 'if (this.#log[index - 1]?.term === entry.term) continue;',
    replacement: '',
  },
  {
    name: 'promises entries that are not on its disk',
    file: core('replica'),
    text: 'const log = from <= this.#log.length ?',
    replacement: 'const log = from < this.#log.length ?',
  },
  {
    name: 'lets a witness forget how far the journal goes',
    file: core('witness'),
    text: 'this.#ballot.ask(from, message, this.#saved.last, now)',
    replacement: 'this.#ballot.ask(from, message, { index: 0, term: 0 }, now)',
  },
  // What a coordinator does
  {
    name: 'gives a grant up when the lease runs out by its own clock',
    file: core('next-attempt'),
    text: 'return Math.max(lostAfterMs, Math.ceil(ttlMs * 1.05) + 1_000);',
    replacement: 'return Math.min(lostAfterMs, ttlMs);',
  },
  {
    name: 'believes presence',
    file: core('decide'),
    text: 'else if (now < lostAt) this.#wait(lostAt);',
    replacement: 'else if (now < lostAt - 1e9) this.#wait(lostAt);',
  },
  {
    name: 'does not note that renewals come',
    file: core('coordinator'),
    text: 'this.#watch.heard.set(keyOf(ask.attempt), now);',
    replacement: '',
  },
  {
    name: 'takes the time before its election for silence',
    late: true,
    file: core('coordinator'),
    text: 'this.#watch = newWatch(this.#replica.term, now);',
    replacement: 'this.#watch = newWatch(this.#replica.term, now - 1e9);',
  },
  {
    name: 'runs again what may have changed what lies outside',
    file: core('next-attempt'),
    text: "definition.sideEffects === 'external' && failure.submitted && !rerun",
    replacement: "definition.sideEffects === 'external' && failure.submitted && rerun",
  },
  {
    name: 'grants an epoch twice',
    file: core('decide'),
    text: 'epoch: worker.epoch + 1, attempt',
    replacement: 'epoch: Math.max(1, worker.epoch), attempt',
  },
  {
    name: 'starts what it has just given up',
    file: core('decide'),
    text: "if (this.#intentions.some((one) => one.do === 'append')) return;",
    replacement: '',
  },
  {
    name: 'renews leases and takes outcomes under any epoch',
    file: core('coordinator'),
    text: "if (!worker.active || worker.epoch !== attempt.epoch) return { is: 'fenced' };",
    replacement: '',
  },
  {
    name: 'answers before it counts',
    file: core('coordinator'),
    text: "else if ('record' in answer) batch.add(answer.record, id);",
    replacement: "else if ('record' in answer) { batch.add(answer.record); this.#answer(id, { is: 'ok' }); }",
  },
  {
    name: 'takes two outcomes that come together',
    file: core('coordinator'),
    text: "if (batch.touches(attempt.worker)) return 'wait';",
    replacement: '',
  },
  // What a machine must do for all this to hold
  {
    name: 'counts its lease from when the answer came',
    late: true,
    file: machine,
    text: 'this.#putOff(attempt.worker, sentAt + saved.lease.ttlMs);',
    replacement: 'this.#putOff(attempt.worker, Math.max(sentAt, this.host.now()) + saved.lease.ttlMs);',
  },
  {
    name: 'prompts on an order that may have been under way for long, and before the journal knows',
    file: machine,
    text: 'saved.submitted = true;\n    this.#renew(saved);',
    replacement: 'saved.submitted = true;\n    this.#mayPrompt(saved);\n    this.#renew(saved);',
  },
  {
    name: 'works on in a lease that ran out while it stood still',
    file: machine,
    text: 'if (host.now() >= session.until) session.frozen = true;',
    replacement: 'if (host.now() >= session.until) session.until = host.now() + 10_000;',
  },
];
