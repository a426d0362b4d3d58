import * as v from 'valibot';
import { NiiaError } from '../../../shared/errors.ts';
import type { DaemonStatus } from '../../../shared/protocol/shapes.ts';
import { nameSchema } from '../../../shared/protocol/shapes.ts';
import type { Context, Run } from '../context.ts';
import { runningDaemon } from '../running-daemon.ts';
import type { OptionValues } from '../spec.ts';
import type { Specs } from '../specs/all.ts';
import { startDaemon } from '../start-daemon.ts';
import { startInstalledService } from '../start-service.ts';
import { pairs, waysOf } from '../values.ts';
import { statusText } from './status.ts';

export const up: Run<Specs['up']> = async ({ options }, context) => {
  const { home, daemon, deadline, out } = context;
  checkName(options.name);
  const labels = pairs(options.label, '--label');
  // A service starts without flags: what they say is set once it runs, as with a machine that is up.
  const running = (await runningDaemon(daemon)) ?? (await startInstalledService({ home, daemon, deadline }));
  let status: DaemonStatus;
  if (running) {
    status = (await apply(options, labels, running, context)) ? await daemon.ask('daemon.status', {}) : running;
  } else {
    status = await startDaemon({ home, daemon, deadline, flags: flagsOf(options) });
  }
  await out.result(status, () => statusText(status));
};

/** The words that start a daemon with these settings. */
function flagsOf({ name, gateway, listen, label, ...ways }: OptionValues<Specs['up']['options']>): string[] {
  return [
    ...(name === undefined ? [] : [`--name=${name}`]),
    ...(gateway === undefined ? [] : [`--gateway=${gateway}`]),
    ...(listen === undefined ? [] : [`--listen=${listen}`]),
    ...label.map((one) => `--label=${one}`),
    ...Object.entries(waysOf(ways)).map(([key, value]) => `--${key}=${value}`),
  ];
}

/** Brings a daemon that runs already to these settings; says whether anything had to change. */
async function apply(
  { name, gateway, listen, ...ways }: OptionValues<Specs['up']['options']>,
  labels: Record<string, string>,
  status: DaemonStatus,
  { daemon }: Context,
): Promise<boolean> {
  if (name !== undefined && name !== status.machine.name) {
    throw new NiiaError(
      'failed',
      `this machine is called ${status.machine.name} already; --name counts at its first start only`,
      'To take another name with another team: niia join CODE --name N',
    );
  }
  const { config } = await daemon.ask('config.get', {});
  const wanted: Record<string, string> = { ...waysOf(ways) };
  if (gateway !== undefined && !usesGateway(status, gateway)) wanted['gateway'] = gateway;
  if (listen !== undefined) wanted['listen'] = listen;
  for (const [key, value] of Object.entries(labels)) wanted[`label.${key}`] = value;
  const changes = Object.entries(wanted).filter(([key, value]) => config[key] !== value);
  for (const [key, value] of changes) await daemon.ask('config.set', { key, value });
  return changes.length > 0;
}

/** Whether the daemon is connected through this gateway by now; one that fails may be given anew, with a new fragment. */
function usesGateway({ gateway }: DaemonStatus, wanted: string): boolean {
  if (wanted === 'embedded') return gateway.embedded;
  return !gateway.embedded && gateway.state === 'connected' && sameAddress(gateway.url ?? '', wanted);
}

function sameAddress(a: string, b: string): boolean {
  return URL.canParse(a) && URL.canParse(b) && new URL(a).host === new URL(b).host;
}

function checkName(name: string | undefined): void {
  const parsed = v.safeParse(v.optional(nameSchema), name);
  if (!parsed.success) throw new NiiaError('usage', `--name: ${parsed.issues[0].message}`);
}
