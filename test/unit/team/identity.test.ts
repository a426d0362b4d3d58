import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Identity, machineId, verifySignature } from '../../../daemon/team/identity.ts';
import { newHome } from './machines.ts';

describe('a machine’s identity', () => {
  it('is made once, kept private, and the same at every later start', () => {
    const home = newHome();
    const first = Identity.load(home, 'first');
    const again = Identity.load(home, 'other');
    expect(again).toMatchObject({ id: first.id, name: 'first', signKey: first.signKey, noiseKey: first.noiseKey });
    expect(statSync(home.path('identity.json')).mode & 0o777).toBe(0o600);
    expect(first.id).toBe(machineId(first.signKey));
  });

  it('signs what others can check, and nothing else passes for its signature', () => {
    const one = Identity.load(newHome(), 'one');
    const two = Identity.load(newHome(), 'two');
    const message = Buffer.from('message');
    const signature = one.sign(message);
    expect(verifySignature(one.signKey, message, signature)).toBe(true);
    expect(verifySignature(two.signKey, message, signature)).toBe(false);
    expect(verifySignature(one.signKey, Buffer.from('other'), signature)).toBe(false);
    for (const odd of ['', 'A', 'A'.repeat(1000), '!', signature.slice(2)]) {
      expect(verifySignature(one.signKey, message, odd)).toBe(false);
      expect(verifySignature(odd, message, signature)).toBe(false);
    }
  });

  it('refuses a name that no shell would take as one word', () => {
    expect(() => Identity.load(newHome(), 'two words')).toThrow(expect.objectContaining({ code: 'usage' }));
  });

  it('is never replaced when its file is damaged: what is wrong is said, and the file stays as it is', () => {
    const home = newHome();
    const { signKey } = Identity.load(home, 'one');
    const path = home.path('identity.json');
    const good = readFileSync(path, 'utf8');
    const other = Identity.load(newHome(), 'two').signKey;
    for (const damaged of ['', good.slice(0, -20), good.replace(signKey, other), good.replace(signKey, 'short')]) {
      writeFileSync(path, damaged);
      expect(() => Identity.load(home)).toThrow(
        expect.objectContaining({ code: 'io', message: expect.stringContaining('damaged') }),
      );
      expect(readFileSync(path, 'utf8')).toBe(damaged);
    }
  });
});
