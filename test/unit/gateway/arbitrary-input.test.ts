import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { gatewayFrame } from '../../../shared/protocol/gateway.ts';
import { newServer, newTeam, Probe } from './machines.ts';

/** Bytes as an attacker sends them: noise, and noise behind a right beginning. */
const controlLike = fc.oneof(
  fc.json(),
  fc
    .record({ type: fc.constantFrom('hello', 'guest', 'roster', 'ticket', 'ticket-drop', 'guest-end') })
    .map((value) => JSON.stringify(value)),
  fc
    .record({
      type: fc.constantFrom('hello', 'guest'),
      protocol: fc.record({ min: fc.double(), max: fc.double() }),
      software: fc.string(),
      team: fc.string(),
      machine: fc.string(),
      signKey: fc.string(),
      sig: fc.base64String(),
      ticket: fc.string(),
      roster: fc.record({ head: fc.string(), length: fc.double() }),
      admit: fc.string(),
    })
    .map((value) => JSON.stringify(value)),
  fc
    .record({ type: fc.constant('roster'), statements: fc.array(fc.record({ body: fc.string(), sig: fc.string() })) })
    .map((value) => JSON.stringify(value)),
  fc
    .record({ type: fc.constant('ticket'), hash: fc.string(), expiresAt: fc.string() })
    .map((value) => JSON.stringify(value)),
);
const message = fc.oneof(
  fc.uint8Array({ maxLength: 200 }),
  controlLike.map((json) => new Uint8Array(Buffer.from(`\0${json}`))),
  fc
    .tuple(fc.constantFrom(gatewayFrame.relay, gatewayFrame.ping, gatewayFrame.pong), fc.uint8Array({ maxLength: 12 }))
    .map(([kind, rest]) => Uint8Array.of(kind, ...rest)),
);

describe('whatever bytes come', () => {
  it('before the greeting: the gateway goes on, and keeps nothing of them [GW-6]', async () => {
    const { roster, machines } = newTeam(['a', 'b']);
    const server = newServer({ roster });
    const a = await Probe.member(server, machines[0]!, roster);
    await fc.assert(
      fc.asyncProperty(fc.array(message, { maxLength: 6 }), async (messages) => {
        const probe = Probe.to(server);
        await probe.next('challenge');
        for (const bytes of messages) probe.transport.send(bytes);
        await probe.settled();
        probe.transport.close();
        await a.settled();
        expect(a.isClosed).toBe(false);
        expect(a.relayed).toEqual([]);
      }),
      { numRuns: 300 },
    );
    await a.settled();
    expect(server.metrics()).toContain('\nniia_gateway_greetings 0\n');
    expect(server.metrics()).toContain('\nniia_gateway_connections 1\n');
    expect(server.metrics()).toContain('\nniia_gateway_waiting_bytes 0\n');
  });

  it('from a member: it may lose its connection; the others keep theirs [GW-6]', async () => {
    const { roster, machines } = newTeam(['a', 'b']);
    const server = newServer({ roster });
    const a = await Probe.member(server, machines[0]!, roster);
    await fc.assert(
      fc.asyncProperty(fc.array(message, { maxLength: 6 }), async (messages) => {
        const probe = await Probe.member(server, machines[1]!, roster);
        for (const bytes of messages) probe.transport.send(bytes);
        await probe.settled();
        probe.transport.close();
        await a.settled();
        expect(a.isClosed).toBe(false);
      }),
      { numRuns: 150 },
    );
    await a.settled();
    expect(server.metrics()).toContain('\nniia_gateway_connections 1\n');
    expect(server.metrics()).toContain('\nniia_gateway_waiting_bytes 0\n');
  });
});
