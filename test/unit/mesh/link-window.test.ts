import { describe, expect, test } from 'vitest';
import { linkLimits } from '../../../daemon/mesh/link-timing.ts';
import { LinkWindow } from '../../../daemon/mesh/link-window.ts';
import { Random } from '../../sim/random.ts';

interface Pipe {
  /** Bytes a millisecond; unlimited buffer in front of it. */
  rate: number;
  /** Both ways together, milliseconds. */
  roundTrip: number;
  /** Added to each round trip. */
  noise?: (now: number) => number;
}

interface Frame {
  counter: number;
  size: number;
  ackAt: number;
}

/** A sender that always has more, on a pipe whose acknowledgements come one by one. */
class Sender {
  readonly window = new LinkWindow();
  now = 0;
  delivered = 0;
  /** Queueing delays as frames met them, and when. */
  readonly waits: Array<{ at: number; ms: number }> = [];
  #counter = 0;
  #inFlight = 0;
  #busyUntil = 0;
  #lastAck = 0;
  #frames: Frame[] = [];

  run(pipe: Pipe, ms: number, size?: number): void {
    const end = this.now + ms;
    for (;;) {
      this.#fill(pipe, size);
      const frame = this.#frames.shift();
      if (!frame || frame.ackAt > end) {
        if (frame) this.#frames.unshift(frame);
        this.now = end;
        return;
      }
      this.now = frame.ackAt;
      this.#inFlight -= frame.size;
      this.delivered += frame.size;
      this.window.acknowledged(frame.counter + 1, frame.size, this.#counter, this.now);
    }
  }

  #fill(pipe: Pipe, given: number | undefined): void {
    for (;;) {
      const size = given ?? this.window.fragment;
      if (!this.window.admits(this.#inFlight, size)) return;
      this.waits.push({ at: this.now, ms: Math.max(0, this.#busyUntil - this.now) });
      this.#busyUntil = Math.max(this.now, this.#busyUntil) + size / pipe.rate;
      this.#lastAck = Math.max(this.#lastAck, this.#busyUntil + pipe.roundTrip + (pipe.noise?.(this.now) ?? 0));
      this.#inFlight += size;
      this.#frames.push({ counter: this.#counter, size, ackAt: this.#lastAck });
      this.window.sent(this.#counter++, this.#inFlight, this.now);
    }
  }
}

const dsl: Pipe = { rate: 1_250, roundTrip: 40 };
const worst = (waits: Sender['waits'], from: number) =>
  Math.max(...waits.filter(({ at }) => at >= from).map(({ ms }) => ms));

const mean = (waits: Sender['waits'], from: number) => {
  const late = waits.filter(({ at }) => at >= from);
  return late.reduce((sum, { ms }) => sum + ms, 0) / late.length;
};

describe('on a path of 10 Mbit/s and 40 ms', () => {
  test('the queue stays short and the path stays full, from the first second to the last [LINK-19]', () => {
    const sender = new Sender();
    sender.window.roundTrip(dsl.roundTrip, 0);
    sender.run(dsl, 1_000);
    expect(worst(sender.waits, 0)).toBeLessThan(60);
    const before = sender.delivered;
    sender.run(dsl, 120_000);
    expect(mean(sender.waits, 1_000)).toBeLessThan(16);
    expect(worst(sender.waits, 1_000)).toBeLessThan(25);
    expect((sender.delivered - before) / 120_000 / dsl.rate).toBeGreaterThan(0.95);
  });

  test('what waits above the window is short too, and so are the frames', () => {
    const sender = new Sender();
    sender.run(dsl, 5_000);
    expect(sender.window.unsent).toBeLessThanOrEqual(20 << 10);
    expect(sender.window.fragment).toBeLessThanOrEqual(6 << 10);
  });

  test('a queue that others made is not added to, and the path is taken again when they are gone', () => {
    const sender = new Sender();
    sender.run(dsl, 5_000);
    const crowded = { ...dsl, rate: dsl.rate / 5 };
    sender.run(crowded, 5_000);
    expect(worst(sender.waits, sender.now - 3_000)).toBeLessThan(linkLimits.leastWindow / crowded.rate);
    sender.run(dsl, 2_000);
    const before = sender.delivered;
    sender.run(dsl, 3_000);
    expect((sender.delivered - before) / 3_000 / dsl.rate).toBeGreaterThan(0.9);
  });

  test('a path that becomes longer for good is believed after a while, and filled again', () => {
    const sender = new Sender();
    sender.run(dsl, 5_000);
    const longer = { ...dsl, roundTrip: 140 };
    sender.run(longer, 60_000);
    const before = sender.delivered;
    sender.run(longer, 10_000);
    expect((sender.delivered - before) / 10_000 / dsl.rate).toBeGreaterThan(0.85);
  });
});

describe('on a quick path', () => {
  test('the window opens within a hundred round trips and stays wide in spite of pauses', () => {
    const random = new Random(1);
    let pauseUntil = 0;
    let nextPause = 50;
    // A garbage collection of 5 to 30 ms each 100 ms, and half a millisecond of noise.
    const noise = (now: number) => {
      if (now >= nextPause) {
        pauseUntil = now + random.between(5, 30);
        nextPause = now + 100;
      }
      return Math.max(0, pauseUntil - now) + random.between(0, 0.5);
    };
    const sender = new Sender();
    const local = { rate: 200_000, roundTrip: 0.2, noise };
    sender.run(local, 20);
    expect(sender.window.bytes).toBeGreaterThan(linkLimits.window / 4);
    let least = Number.POSITIVE_INFINITY;
    for (let i = 0; i < 200; i++) {
      sender.run(local, 10);
      least = Math.min(least, sender.window.bytes);
    }
    expect(least).toBeGreaterThan(128 << 10);
    expect(sender.window.fragment).toBeGreaterThan(8 << 10);
  });

  test('of 1 Gbit/s and 20 ms the window opens as far as it may within a second', () => {
    const sender = new Sender();
    const fat = { rate: 125_000, roundTrip: 20 };
    sender.run(fat, 1_000);
    expect(sender.window.bytes).toBe(linkLimits.window);
  });
});

test('a window stays within its bounds, whatever times are measured', () => {
  for (let seed = 1; seed <= 50; seed++) {
    const random = new Random(seed);
    const window = new LinkWindow();
    let [counter, now, inFlight] = [0, 0, 0];
    let [least, most] = [Number.POSITIVE_INFINITY, 0];
    for (let i = 0; i < 2_000; i++) {
      const size = random.integer(1, 60 << 10);
      if (window.admits(inFlight, size)) {
        inFlight += size;
        window.sent(counter++, inFlight, now);
      }
      now += random.pick([0, 0.1, 1, 50, 5_000]);
      if (random.chance(0.5) && counter > 0) {
        window.acknowledged(random.integer(0, counter), inFlight, counter, now);
        inFlight = 0;
      }
      if (random.chance(0.01)) window.restart(counter);
      [least, most] = [Math.min(least, window.bytes), Math.max(most, window.bytes)];
    }
    expect(least).toBeGreaterThanOrEqual(linkLimits.leastWindow);
    expect(most).toBeLessThanOrEqual(linkLimits.window);
  }
});
