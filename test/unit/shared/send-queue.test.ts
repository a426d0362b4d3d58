import { describe, expect, it } from 'vitest';
import { Call } from '../../../shared/rpc/call.ts';
import { encode } from '../../../shared/rpc/frames.ts';
import { SendQueue } from '../../../shared/rpc/send-queue.ts';

/** A queue, and calls whose frames tell whose they are. */
function stage() {
  const queue = new SendQueue();
  const names = new Map<unknown, string>();
  const call = (id: number): Call =>
    new Call(
      id,
      true,
      (ready) => queue.ready(ready),
      () => undefined,
    );
  const says = (who: Call, count = 1): void => {
    for (let i = 0; i < count; i++) {
      const frame = encode.json('event', true, who.id, i);
      names.set(frame, `${who.id}`);
      who.post(frame);
    }
  };
  const urgent = (): void => {
    const frame = encode.json('event', true, 0, 'urgent');
    names.set(frame, '!');
    queue.urgent(frame);
  };
  const taken = (count: number): string => Array.from({ length: count }, () => names.get(queue.take()) ?? '').join('');
  return { queue, call, says, urgent, taken };
}

describe('what waits to be sent', () => {
  it('goes out frame by frame in turn, and ends [RPC-15]', () => {
    const { call, says, taken } = stage();
    const [one, two] = [call(1), call(2)];
    says(one, 3);
    says(two, 3);
    expect(taken(8)).toBe('121212');
  });

  it('lets a call that has just begun to say something overtake floods, however many they are [RPC-15]', () => {
    const { call, says, taken } = stage();
    const floods = [1, 2, 3, 4].map(call);
    for (const flood of floods) says(flood, 50);
    expect(taken(8)).toBe('12341234');
    says(call(5));
    expect(taken(5)).toBe('51234');
  });

  it('does not let those that always have something new starve a flood [RPC-15]', () => {
    const { call, says, taken } = stage();
    const [flood, key] = [call(1), call(2)];
    says(flood, 100);
    expect(taken(2)).toBe('11');
    let order = '';
    for (let i = 0; i < 90; i++) {
      says(key);
      order += taken(1);
      if (order.endsWith('1')) order += taken(1);
    }
    expect(order.split('1').length - 1).toBeGreaterThanOrEqual(9);
    expect(order).not.toMatch(/2{9}/);
  });

  it('puts what the connection itself says before everything, and forgets all at its end', () => {
    const { queue, call, says, urgent, taken } = stage();
    says(call(1), 2);
    urgent();
    expect(taken(2)).toBe('!1');
    urgent();
    queue.clear();
    expect(queue.take()).toBeUndefined();
  });
});
