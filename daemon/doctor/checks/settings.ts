import { NiiaError } from '../../../shared/errors.ts';
import { ConfigStore } from '../../home/config.ts';
import { readIfThere } from '../../home/files.ts';
import { Identity } from '../../team/identity.ts';
import { readRoster } from '../../team/team-store.ts';
import type { Check } from '../check.ts';
import { fail, pass, skip } from '../check.ts';

/** Whether what the daemon reads at its start can be read: settings, keys, the team. */
export const checkSettings: Check = ({ home }) => {
  if (readIfThere(home.path('identity.json')) === undefined) {
    return Promise.resolve(skip('this machine was never started', 'niia up'));
  }
  try {
    const { name } = Identity.load(home);
    new ConfigStore(home);
    const roster = readRoster(home.path('team', 'roster.json'));
    return Promise.resolve(pass(`settings, keys and team of ${name} (${roster?.members.size ?? 0} members) are whole`));
  } catch (error) {
    const { message, hint } = NiiaError.from(error);
    return Promise.resolve(fail(message, hint ?? null));
  }
};
