import * as v from 'valibot';
import { NiiaError } from '../../../shared/errors.ts';
import type { Wake } from '../../../shared/protocol/wake-methods.ts';
import { wakeSchema } from '../../../shared/protocol/wake-methods.ts';
import type { Run } from '../context.ts';
import type { OptionValues } from '../spec.ts';
import type { Specs } from '../specs/all.ts';
import { awayError, wakeMachine, wakeText } from '../wake-machine.ts';

export const wake: Run<Specs['machine wake']> = async ({ args: [machine], options }, context) => {
  const { daemon, out } = context;
  const setting = settingOf(options);
  if (setting !== undefined) {
    const result = await daemon.change('machine.setWake', { machine, wake: setting });
    const how = result.wake === null ? 'not set up any more' : wakeText(result.wake);
    await out.result(result, () => `${result.machine}: ${how}\n`);
    return;
  }
  const known = await daemon.query('machine.known', { machine });
  if (!known.online) {
    if (known.wake === null) throw awayError(known);
    await wakeMachine(known, known.wake, context);
  }
  const result = { machine: known.machine, online: true, woken: !known.online };
  await out.result(result, () => `${known.machine}: ${known.online ? 'online already' : 'woken'}\n`);
};

/** What the options set; null: they forget it; undefined: they say nothing. Throws `usage`. */
function settingOf(options: OptionValues<Specs['machine wake']['options']>): Wake | null | undefined {
  const { ssh, 'ssh-command': command, mac, via, broadcast, off } = options;
  if ([ssh !== undefined, mac !== undefined, off].filter(Boolean).length > 1) {
    throw new NiiaError('usage', 'one of --ssh, --mac and --off');
  }
  if (command !== undefined && ssh === undefined) throw new NiiaError('usage', '--ssh-command goes with --ssh HOST');
  if ((via !== undefined || broadcast !== undefined) && mac === undefined) {
    throw new NiiaError('usage', '--via and --broadcast go with --mac ADDRESS');
  }
  if (off) return null;
  if (ssh !== undefined) return checked({ by: 'ssh', host: ssh, command: command ?? 'niia up' });
  if (mac !== undefined) return checked({ by: 'lan', mac, via: via ?? null, broadcast: broadcast ?? null });
  return undefined;
}

function checked(wanted: Wake): Wake {
  const parsed = v.safeParse(wakeSchema, wanted);
  if (parsed.success) return parsed.output;
  throw new NiiaError('usage', parsed.issues[0].message);
}
