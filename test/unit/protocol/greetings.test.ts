import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { GatewayConnection } from '../../../daemon/mesh/gateway-client-connection.ts';
import { encodeControl } from '../../../daemon/mesh/gateway-wire.ts';
import { greetDialler, greetListener } from '../../../daemon/paths/direct-greeting.ts';
import { Roster } from '../../../daemon/team/roster.ts';
import type { NiiaError } from '../../../shared/errors.ts';
import { directLimits } from '../../../shared/protocol/direct.ts';
import type { ToMachine } from '../../../shared/protocol/gateway.ts';
import { protocolRange } from '../../../shared/protocol/version.ts';
import { machineNamed } from '../../fuzz/support/keys.ts';
import { LooseEnd } from '../../fuzz/support/loose-end.ts';

const self = machineNamed('self');
const at = '2026-01-01T00:00:00.000Z';
const roster = Roster.create('team', self, self.name, 'nonce', at);

describe('a greeting between machines that goes nowhere', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('is over after five seconds on either side [DIR-4]', async () => {
    const [atListener, atDialler] = [new LooseEnd(), new LooseEnd()];
    const ways = { certificate: '', team: roster.team.id };
    const both = Promise.allSettled([
      greetDialler(atListener, { ...ways, self: self.id }),
      greetListener(atDialler, { ...ways, self, to: self.id }),
    ]);
    await vi.advanceTimersByTimeAsync(directLimits.greetingMs - 1);
    expect([atListener.closed, atDialler.closed]).toEqual([false, false]);
    await vi.advanceTimersByTimeAsync(1);
    expect(await both).toMatchObject([{ reason: { code: 'timeout' } }, { reason: { code: 'timeout' } }]);
    expect([atListener.closed, atDialler.closed]).toEqual([true, true]);
  });

  it('has no message of over four kilobytes [DIR-4]', async () => {
    const pipe = new LooseEnd();
    const greeted = greetDialler(pipe, { certificate: '', team: roster.team.id, self: self.id });
    pipe.give(new Uint8Array(directLimits.message + 1).fill(0x20));
    await expect(greeted).rejects.toMatchObject({ code: 'too_large' });
    expect(pipe.closed).toBe(true);
  });
});

describe('a gateway that names machines without end', () => {
  const welcome: ToMachine = {
    type: 'welcome',
    index: 0,
    roster: { head: roster.head, length: roster.length },
    present: [],
    absent: [],
    address: '192.0.2.1',
  };

  it.each<[string, number, (index: number) => ToMachine]>([
    ['machines', 10_000, (index) => ({ type: 'present', machine: `m${index}`, index, since: at })],
    ['guests', 256, (index) => ({ type: 'guest', index, ticket: 'ab' })],
  ])('is left once there are too many %s [GW-17]', (_, most, message) => {
    const pipe = new LooseEnd();
    let ended: NiiaError | undefined;
    const nothing = (): void => undefined;
    const events = {
      welcomed: nothing,
      present: nothing,
      absent: nothing,
      circuit: nothing,
      guest: nothing,
      roster: nothing,
      ice: nothing,
      ticketTaken: nothing,
      ended: (error: NiiaError) => {
        ended = error;
      },
    };
    const connection = new GatewayConnection(
      { transport: pipe, fingerprint: '' },
      { identity: self, software: '1', roster: () => roster, helloMs: 1_000, events },
    );
    pipe.give(encodeControl({ type: 'challenge', protocol: protocolRange, software: '1', nonce: 'AA', gateway: '' }));
    pipe.give(encodeControl(welcome));
    for (let index = 1; index <= most; index++) pipe.give(encodeControl(message(index)));
    expect(ended).toBeUndefined();
    pipe.give(encodeControl(message(most + 1)));
    expect(ended).toMatchObject({ code: 'too_large' });
    expect(pipe.closed).toBe(true);
    connection.end();
  });
});
