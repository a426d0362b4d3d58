import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { GatewayStore } from '../../../daemon/gateway/store.ts';
import { log, newTeam, scratch } from './machines.ts';

describe("a gateway's state", () => {
  it('keeps the teams, when machines were last seen, and one secret, private to its user', () => {
    const dir = scratch();
    const { roster, machines } = newTeam(['a', 'b']);
    const first = new GatewayStore(dir, log);
    first.keep(roster);
    first.saw(roster.team.id, machines[1]!.id, '2026-01-02T03:04:05.000Z');
    first.flush();
    const secret = first.admissionSecret();
    const second = new GatewayStore(dir, log);
    expect(second.roster(roster.team.id)?.head).toBe(roster.head);
    expect(second.lastSeen(roster.team.id, machines[1]!.id)).toBe('2026-01-02T03:04:05.000Z');
    expect(second.lastSeen(roster.team.id, machines[0]!.id)).toBeNull();
    expect(Buffer.from(second.admissionSecret()).equals(secret)).toBe(true);
    expect(secret).toHaveLength(16);
    expect(statSync(join(dir, 'admission')).mode & 0o777).toBe(0o600);
    expect(readdirSync(dir).sort()).toEqual(['admission', 'rosters', 'seen.json']);
  });

  it('that is damaged costs what was damaged only', () => {
    const dir = scratch();
    const teams = [newTeam(['a']), newTeam(['b']), newTeam(['c'])].map(({ roster }) => roster);
    const [whole, cut, forged] = teams;
    const first = new GatewayStore(dir, log);
    for (const roster of teams) first.keep(roster);
    const file = (team: string) => join(dir, 'rosters', `${team}.json`);
    writeFileSync(file(cut!.team.id), readFileSync(file(cut!.team.id)).subarray(0, 40));
    writeFileSync(file(forged!.team.id), readFileSync(file(whole!.team.id)));
    writeFileSync(join(dir, 'seen.json'), '[');
    writeFileSync(join(dir, 'admission'), 'short\n');
    const second = new GatewayStore(dir, log);
    expect(teams.map(({ team }) => second.roster(team.id)?.head)).toEqual([whole!.head, undefined, undefined]);
    expect(second.admissionSecret()).toHaveLength(16);
  });

  it('is not read for what is no team', () => {
    const store = new GatewayStore(scratch(), log);
    for (const team of ['', '..', '../seen', '__proto__', 'A'.repeat(32)]) expect(store.roster(team)).toBeUndefined();
  });

  it('in a folder that cannot be used says so', () => {
    const file = join(scratch(), 'file');
    writeFileSync(file, '');
    expect(() => new GatewayStore(join(file, 'state'), log)).toThrow(
      expect.objectContaining({ code: 'io', hint: expect.stringContaining('--state') }),
    );
  });
});
