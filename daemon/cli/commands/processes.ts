import { pathToFileURL } from 'node:url';
import { NiiaError } from '../../../shared/errors.ts';
import { takeOverVariable } from '../../lifecycle/take-over.ts';
import { installationToStart, thisInstallation } from '../../process/installation.ts';
import type { Run } from '../context.ts';
import type { Specs } from '../specs/all.ts';
import { pairs, waysOf } from '../values.ts';

export const daemon: Run<Specs['daemon']> = async (
  { options: { name, gateway, listen, label, ...ways } },
  { home },
) => {
  // A service manager names the installation that it was set up with; an upgrade since then counts all the same. What an
  // upgrade's supervisor starts, it has chosen itself.
  const { entry } = process.env[takeOverVariable] === undefined ? installationToStart(home, 'user') : thisInstallation;
  if (entry !== thisInstallation.entry) {
    await import(pathToFileURL(entry).href);
    return;
  }
  const labels = pairs(label, '--label');
  const { runDaemon } = await import('../../core/main.ts');
  await runDaemon({ home, name, gateway, listen, labels, ways: waysOf(ways) });
};

export const headless: Run<Specs['headless']> = async ({ options: { generation, machine } }, { home }) => {
  if (generation === undefined || machine === undefined) {
    throw new NiiaError('usage', 'niia headless needs --generation and --machine', 'The daemon starts it by itself.');
  }
  const { runHeadless } = await import('../../headless/main.ts');
  await runHeadless({ home, generation, machine });
};

export const gateway: Run<Specs['gateway']> = async ({ options }) => {
  const { listen, tls, state, turn, 'turn-user': user, 'turn-credential': credential, 'turn-secret': secret } = options;
  const { turnOptions } = await import('../../gateway/ice.ts');
  const { runGateway } = await import('../../gateway/main.ts');
  await runGateway({
    ...(listen === undefined ? {} : { listen }),
    ...(tls === undefined ? {} : { tls }),
    ...(state === undefined ? {} : { state }),
    turn: turnOptions({ urls: turn, user, credential, secret }, process.env),
  });
};
