import { describe, expect, it } from 'vitest';
import { Heartbeat, heartbeatTimes } from '../../../daemon/mesh/gateway-client-heartbeat.ts';

const { tickMs, deadMs } = heartbeatTimes;

/** Ticks a heartbeat; `answers` says until when the gateway answers each ping after 10 ms. */
function run(answersUntil: number, until: number, heartbeat = new Heartbeat(0)) {
  const pings: number[] = [];
  for (let now = tickMs; now <= until; now += tickMs) {
    const todo = heartbeat.tick(now);
    if (todo === 'dead') return { deadAt: now, pings };
    if (!todo) continue;
    pings.push(now);
    if (now > answersUntil) continue;
    heartbeat.heard();
    heartbeat.pong(todo.ping, now + 10);
  }
  return { deadAt: undefined, pings };
}

describe('a heartbeat', () => {
  it('keeps a gateway that answers, with a ping each half second', () => {
    const { deadAt, pings } = run(60_000, 60_000);
    expect(deadAt).toBeUndefined();
    expect(pings).toHaveLength(120);
  });

  it('gives a silent gateway up within 2 s, with one ping outstanding [GW-14]', () => {
    const { deadAt, pings } = run(10_000, 60_000);
    expect(deadAt! - 10_000).toBeGreaterThanOrEqual(deadMs - tickMs);
    expect(deadAt! - 10_000).toBeLessThanOrEqual(2_000);
    expect(pings.filter((at) => at > 10_000)).toHaveLength(1);
  });

  it('measures the round trip', () => {
    const heartbeat = new Heartbeat(0);
    expect(heartbeat.rttMs).toBeNull();
    run(5_000, 5_000, heartbeat);
    expect(heartbeat.rttMs).toBe(10);
  });

  it('does not blame the gateway for a sleep of its own, and after it decides quickly [GW-14]', () => {
    const heartbeat = new Heartbeat(0);
    run(10_000, 10_000, heartbeat);
    const woke = 8 * 3_600_000;
    expect(heartbeat.tick(woke)).toEqual({ ping: expect.any(Number) });
    let now = woke;
    let todo: ReturnType<Heartbeat['tick']>;
    do {
      now += tickMs;
      todo = heartbeat.tick(now);
    } while (todo !== 'dead');
    expect(now - woke).toBeLessThanOrEqual(2_000);
  });

  it('does not count the time in which its own process was busy', () => {
    const heartbeat = new Heartbeat(0);
    const times = [250, 500, 750, 1_700];
    expect(times.map((now) => heartbeat.tick(now)).includes('dead')).toBe(false);
  });
});
