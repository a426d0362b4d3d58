import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { TransportClosed } from '../../../daemon/mesh/transport-closed.ts';
import type { Roster } from '../../../daemon/team/roster.ts';
import { gatewayClose } from '../../../shared/protocol/gateway.ts';
import { at, memberOf, newIdentity, newServer, newTeam, Probe } from './machines.ts';

async function refusal(probe: Probe): Promise<string> {
  const { error } = await probe.next('refused');
  const closed = await probe.closedWith();
  expect(closed).toBeInstanceOf(TransportClosed);
  expect((closed as TransportClosed).closeCode).toBe(gatewayClose.refused);
  return error.code;
}

async function unharmed(member: Probe): Promise<void> {
  await member.settled();
  expect(member.isClosed).toBe(false);
}

describe('a gateway lets in', () => {
  it('a member of a team that it knows [GW-3]', async () => {
    const { roster, machines } = newTeam(['a', 'b', 'c']);
    const server = newServer({ roster });
    const a = await Probe.member(server, machines[0]!, roster);
    const b = await Probe.member(server, machines[1]!, roster);
    const welcome = await b.next('welcome');
    expect(welcome.present).toEqual([{ machine: machines[0]!.id, index: a.index, since: expect.any(String) }]);
    expect(welcome.absent).toEqual([{ machine: machines[2]!.id, lastSeen: null }]);
    expect(welcome.address).toBe('192.0.2.1');
    expect(await a.next('present')).toMatchObject({ machine: machines[1]!.id, index: b.index });
  });

  it('the first machine of a new team that shows the admission secret, and then its members without it [GW-3]', async () => {
    const { roster, machines } = newTeam(['a', 'b']);
    const admission = randomBytes(16);
    const server = newServer({ admission });
    const first = Probe.to(server);
    await first.hello(machines[0]!, roster, { admit: admission.toString('base64url') });
    await first.next('roster-wanted');
    first.sendRoster(roster);
    expect((await first.next('welcome')).roster).toEqual({ head: roster.head, length: roster.length });
    await Probe.member(server, machines[1]!, roster);
  });

  it('a machine that joined elsewhere and brings the chain that says so [GW-3]', async () => {
    const { roster, machines } = newTeam(['a', 'b']);
    const joiner = newIdentity('joiner');
    const server = newServer({ roster });
    const a = await Probe.member(server, machines[0]!, roster);
    const newer = roster.append(memberOf(joiner), machines[0]!, at);
    const probe = Probe.to(server);
    await probe.hello(joiner, newer);
    await probe.next('roster-wanted');
    probe.sendRoster(newer);
    await probe.next('welcome');
    expect((await a.next('roster')).statements).toEqual(newer.statements);
  });

  it('a chain that needs several messages', async () => {
    const { roster, machines } = newTeam(['a']);
    let long: Roster = roster;
    const extra = newIdentity('extra');
    for (let i = 0; i < 120; i++) {
      long = long.append(memberOf(extra), machines[0]!, at);
      long = long.append({ op: 'remove', machine: extra.id }, machines[0]!, at);
    }
    long = long.append(memberOf(extra), machines[0]!, at);
    const server = newServer({ roster });
    const probe = Probe.to(server);
    await probe.hello(extra, long);
    await probe.next('roster-wanted');
    probe.sendRoster(long);
    await probe.next('welcome');
  });
});

describe('a gateway refuses, and the other machines are unharmed,', () => {
  async function setUp() {
    const { roster, machines } = newTeam(['a', 'b']);
    const server = newServer({ roster, admission: randomBytes(16) });
    const member = await Probe.member(server, machines[0]!, roster);
    return { roster, machines, server, member, probe: Probe.to(server) };
  }

  it("a stranger's key [GW-4]", async () => {
    const { roster, member, probe, server } = await setUp();
    await probe.hello(newIdentity('stranger'), roster);
    await probe.next('roster-wanted');
    probe.sendRoster(roster);
    expect(await refusal(probe)).toBe('not_a_member');
    expect(server.metrics()).toContain('niia_gateway_refused_total{code="not_a_member"} 1');
    await unharmed(member);
  });

  it('a stranger who brings a chain of his own [GW-4]', async () => {
    const { roster, member, probe } = await setUp();
    const forged = newTeam(['evil']);
    await probe.hello(forged.machines[0]!, roster);
    await probe.next('roster-wanted');
    probe.sendRoster(forged.roster);
    expect(await refusal(probe)).toBe('not_a_member');
    await unharmed(member);
  });

  it("a member's id with another's key [GW-1]", async () => {
    const { roster, machines, member, probe } = await setUp();
    await probe.hello(newIdentity('stranger'), roster, { machine: machines[1]!.id });
    expect(await refusal(probe)).toBe('denied');
    await unharmed(member);
  });

  it('a signature over something else [GW-1]', async () => {
    const { roster, machines, member, probe } = await setUp();
    await probe.hello(machines[1]!, roster, { sig: machines[1]!.sign(Buffer.from('something else')) });
    expect(await refusal(probe)).toBe('denied');
    await unharmed(member);
  });

  it('a signature that is none', async () => {
    const { roster, machines, member, probe } = await setUp();
    await probe.hello(machines[1]!, roster, { sig: '!!', signKey: 'AAAA' });
    expect(await refusal(probe)).toBe('denied');
    await unharmed(member);
  });

  it('a team that it does not know, without or with a wrong secret [GW-4]', async () => {
    const { member, probe, server } = await setUp();
    const other = newTeam(['x']);
    await probe.hello(other.machines[0]!, other.roster);
    expect(await refusal(probe)).toBe('denied');
    const again = Probe.to(server);
    await again.hello(other.machines[0]!, other.roster, { admit: randomBytes(16).toString('base64url') });
    expect(await refusal(again)).toBe('denied');
    await unharmed(member);
  });

  it('a machine that was removed and brings a chain from before [GW-4]', async () => {
    const { roster, machines, member, server } = await setUp();
    server.updateRoster(roster.append({ op: 'remove', machine: machines[1]!.id }, machines[0]!, at));
    const probe = Probe.to(server);
    await probe.hello(machines[1]!, roster);
    await probe.next('roster-wanted');
    probe.sendRoster(roster);
    expect(await refusal(probe)).toBe('not_a_member');
    await unharmed(member);
  });

  it('an older protocol, whatever else its hello says [VER-2, VER-3]', async () => {
    const { member, probe } = await setUp();
    await probe.next('challenge');
    const json = JSON.stringify({ type: 'hello', protocol: { min: 0, max: 0 }, version: 'ancient' });
    probe.transport.send(Buffer.from(`\0${json}`));
    expect(await refusal(probe)).toBe('version_mismatch');
    await unharmed(member);
  });

  it('whoever relays before the greeting [GW-5]', async () => {
    const { member, probe } = await setUp();
    await probe.next('challenge');
    probe.relay(member.index, 'hello');
    expect((await probe.closedWith()) as TransportClosed).toMatchObject({ closeCode: gatewayClose.protocol });
    await unharmed(member);
    expect(member.relayed).toEqual([]);
  });

  it('a greeting that takes too long [GW-5]', async () => {
    const { roster, machines } = newTeam(['a']);
    const server = newServer({ roster, limits: { helloMs: 60, tickMs: 20 } });
    const member = await Probe.member(server, machines[0]!, roster);
    const probe = Probe.to(server);
    expect((await probe.closedWith()) as TransportClosed).toMatchObject({ closeCode: gatewayClose.protocol });
    await unharmed(member);
  });
});
