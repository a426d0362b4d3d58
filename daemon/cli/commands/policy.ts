import { randomBytes } from 'node:crypto';
import { NiiaError } from '../../../shared/errors.ts';
import type { ResultOf } from '../../../shared/protocol/methods.ts';
import type { ApprovalPolicy } from '../../../shared/protocol/policy-methods.ts';
import type { Context, Run } from '../context.ts';
import { table } from '../format.ts';
import type { OptionValues } from '../spec.ts';
import type { Specs } from '../specs/all.ts';

type Policies = ResultOf<'policy.list'>;

export const list: Run<Specs['policy list']> = async (_, { daemon, out }) => {
  await show(await daemon.query('policy.list', {}), out);
};

export const allow: Run<Specs['policy allow']> = ({ args: [pattern], options }, context) =>
  set('allow', pattern, options, context);

export const deny: Run<Specs['policy deny']> = ({ args: [pattern], options }, context) =>
  set('deny', pattern, options, context);

export const remove: Run<Specs['policy remove']> = async ({ args: [name], options }, context) => {
  await onMachines(context, options.team, (to) => context.daemon.change('policy.remove', { name }, to));
};

async function set(
  effect: ApprovalPolicy['effect'],
  pattern: string,
  { name, session, worker, question, team }: OptionValues<Specs['policy allow']['options']>,
  context: Context,
): Promise<void> {
  const policy: ApprovalPolicy = {
    ...{ name: name ?? newName(), effect, pattern, about: question ? 'question' : 'command' },
    ...{ session: session ?? null, worker: worker ?? null },
  };
  await onMachines(context, team, (to) => context.daemon.change('policy.set', policy, to));
}

/** Changes the policies of the machine that is meant, or of all that are online; those that were not are named. */
async function onMachines(
  { daemon, out }: Context,
  team: boolean,
  change: (options: { to?: string | undefined }) => Promise<Policies>,
): Promise<void> {
  if (!team) return await show(await change({}), out);
  if (daemon.machine !== undefined) throw new NiiaError('usage', '--team and --machine exclude each other');
  const { machines } = await daemon.query('machine.list', {});
  let own: Policies | undefined;
  const failures: string[] = [];
  for (const { name, id, self, online } of machines) {
    try {
      if (!self && !online) throw new NiiaError('offline', 'it is offline');
      const result = await change({ to: self ? undefined : id });
      if (self) own = result;
    } catch (error) {
      failures.push(`${name}: ${NiiaError.from(error).message}`);
    }
  }
  if (own) await show(own, out);
  if (failures.length === 0) return;
  throw new NiiaError('failed', `not changed on ${failures.join('; ')}`, 'Try again when they are online.');
}

async function show(result: Policies, out: Context['out']): Promise<void> {
  await out.result(result, () =>
    table(
      ['NAME', 'EFFECT', 'ABOUT', 'PATTERN', 'SESSION', 'WORKER'],
      result.policies.map((one) => [
        one.name,
        one.effect,
        one.about,
        one.pattern,
        one.session ?? '-',
        one.worker ?? '-',
      ]),
    ),
  );
}

/** A name that no machine has yet: one that it has would be replaced. */
function newName(): string {
  return `policy-${randomBytes(5).toString('hex')}`;
}
