import { NiiaError } from '../../../shared/errors.ts';
import type { Run } from '../context.ts';
import type { Specs } from '../specs/all.ts';
import { pairs } from '../values.ts';

export const daemon: Run<Specs['daemon']> = async ({ options: { name, gateway, listen, label } }, { home }) => {
  const labels = pairs(label, '--label');
  const { runDaemon } = await import('../../core/main.ts');
  await runDaemon({ home, name, gateway, listen, labels });
};

export const headless: Run<Specs['headless']> = async ({ options: { generation, machine } }, { home }) => {
  if (generation === undefined || machine === undefined) {
    throw new NiiaError('usage', 'niia headless needs --generation and --machine', 'The daemon starts it by itself.');
  }
  const { runHeadless } = await import('../../headless/main.ts');
  await runHeadless({ home, generation, machine });
};

export const gateway: Run<Specs['gateway']> = async ({ options: { listen, tls, state } }) => {
  const { runGateway } = await import('../../gateway/main.ts');
  await runGateway({
    ...(listen === undefined ? {} : { listen }),
    ...(tls === undefined ? {} : { tls }),
    ...(state === undefined ? {} : { state }),
  });
};
