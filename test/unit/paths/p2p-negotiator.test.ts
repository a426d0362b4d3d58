import { describe, expect, it } from 'vitest';
import { P2pNegotiator } from '../../../daemon/paths/p2p-negotiator.ts';
import type { Signal } from '../../../daemon/paths/signal.ts';
import type { P2pEvents } from '../../../daemon/webrtc/webrtc.ts';
import { NiiaError } from '../../../shared/errors.ts';
import { memoryTransportPair } from '../../../shared/transport/memory-transport.ts';

/** A side whose WebRTC needs an offer, an answer and one candidate each way, in any order after the offer. */
class Side {
  readonly negotiator: P2pNegotiator;
  readonly sent: Signal[] = [];
  readonly opened: Array<{ initiator: boolean; events: P2pEvents; closed: boolean; got: string[] }> = [];
  paths = 0;

  constructor(offers: boolean) {
    this.negotiator = new P2pNegotiator({
      offers,
      webrtc: {
        open: (initiator, events) => {
          const one = { initiator, events, closed: false, got: [] as string[] };
          this.opened.push(one);
          if (initiator) {
            events.signal({ type: 'offer', sdp: 'offer' });
            events.signal({ type: 'candidate', candidate: { candidate: 'a' } });
          }
          return {
            signal: (signal) => {
              one.got.push(signal.type);
              if (signal.type === 'offer') {
                events.signal({ type: 'answer', sdp: 'answer' });
                events.signal({ type: 'candidate', candidate: { candidate: 'b' } });
              }
              if (one.got.length === 2 && !one.closed) events.connected(memoryTransportPair()[0]);
            },
            close: () => {
              one.closed = true;
            },
          };
        },
      },
      send: (signal) => this.sent.push(signal),
      ready: () => {
        this.paths++;
      },
      changed: () => undefined,
    });
  }
}

/** Takes signals to the other side until there are none, each batch in the order that `arrange` makes of it. */
function carry(a: Side, b: Side, arrange: (signals: Signal[]) => Signal[] = (signals) => signals): void {
  for (let turn = 0; turn < 20 && a.sent.length + b.sent.length > 0; turn++) {
    for (const signal of arrange(a.sent.splice(0))) b.negotiator.receive(signal, 0);
    for (const signal of arrange(b.sent.splice(0))) a.negotiator.receive(signal, 0);
  }
}

const sides = (): [Side, Side] => [new Side(true), new Side(false)];

describe('two machines that negotiate a P2P path', () => {
  it('get one, begun by the machine that makes the offers [SIG-2]', () => {
    const [a, b] = sides();
    a.negotiator.consider(false, true, 0);
    carry(a, b);
    expect([a.paths, b.paths]).toEqual([1, 1]);
    expect([a.opened.map(({ initiator }) => initiator), b.opened.map(({ initiator }) => initiator)]).toEqual([
      [true],
      [false],
    ]);
  });

  it('get one although candidates overtake the offer, and every signal comes twice [SIG-3]', () => {
    const [a, b] = sides();
    a.negotiator.consider(false, true, 0);
    carry(a, b, (signals) => [...signals].reverse());
    expect([a.paths, b.paths]).toEqual([1, 1]);
  });

  it('do not wait for another daemon to answer what its predecessor was offered', () => {
    const [a, b] = sides();
    a.negotiator.consider(false, true, 0);
    a.sent.length = 0;
    a.negotiator.restarted(100);
    expect(a.opened[0]?.closed).toBe(true);
    a.negotiator.consider(false, true, 100);
    carry(a, b);
    expect([a.paths, b.paths]).toEqual([1, 1]);
    expect(a.sent).toEqual([]);
  });

  it('do not try while there is one, or nothing to carry the offer', () => {
    const [a] = sides();
    a.negotiator.consider(true, true, 0);
    a.negotiator.consider(false, false, 0);
    expect(a.opened).toEqual([]);
  });

  it('begin when the machine that makes no offers asks for one [SIG-2]', () => {
    const [a, b] = sides();
    b.negotiator.consider(false, true, 5_000);
    expect(b.sent).toEqual([{ type: 'p2p-wanted' }]);
    carry(a, b);
    a.negotiator.consider(false, true, 5_000);
    carry(a, b);
    expect([a.paths, b.paths]).toEqual([1, 1]);
  });

  it('pause after a failure, tell the other side, and try at once when things change', () => {
    const [a, b] = sides();
    a.negotiator.consider(false, true, 0);
    const offer = a.sent.splice(0);
    b.negotiator.receive(offer[0] as Signal, 0);
    a.opened[0]?.events.failed(new NiiaError('offline', 'no way through'));
    expect(a.negotiator.note).toBe('no way through');
    expect(a.sent).toEqual([{ type: 'p2p-ended', connection: (offer[0] as { connection: string }).connection }]);
    b.sent.splice(0);
    carry(a, b);
    expect(b.opened[0]?.closed).toBe(true);
    const now = performance.now();
    a.negotiator.consider(false, true, now);
    expect(a.opened).toHaveLength(1);
    a.negotiator.reset(now);
    a.negotiator.consider(false, true, now);
    expect(a.opened).toHaveLength(2);
  });

  it('drop what belongs to an attempt that is over, and follow a new offer rather than the old one [SIG-4]', () => {
    const [a, b] = sides();
    a.negotiator.consider(false, true, 0);
    const old = a.sent.splice(0);
    b.negotiator.receive(old[0] as Signal, 0);
    a.opened[0]?.events.failed(new NiiaError('offline', 'no'));
    a.sent.splice(0);
    a.negotiator.reset(1);
    a.negotiator.consider(false, true, performance.now());
    carry(a, b);
    expect([a.paths, b.paths, b.opened.length, b.opened[0]?.closed]).toEqual([1, 1, 2, true]);
    // An answer to the old offer comes late.
    a.negotiator.receive({ type: 'p2p', connection: 'long-gone', signal: { type: 'answer', sdp: 'x' } }, 0);
    expect(a.sent).toEqual([{ type: 'p2p-ended', connection: 'long-gone' }]);
  });

  it('are not kept busy by one that offers without end [SIG-5]', () => {
    const [, b] = sides();
    for (let i = 0; i < 1_000; i++) {
      b.negotiator.receive({ type: 'p2p', connection: `offer-${i}`, signal: { type: 'offer', sdp: 'x' } }, 0);
    }
    expect(b.opened.length).toBeLessThanOrEqual(60);
    expect(b.opened.filter(({ closed }) => !closed).length).toBeLessThanOrEqual(1);
  });
});
