import { NiiaError } from '../../../shared/errors.ts';
import type { ParamsOf } from '../../../shared/protocol/methods.ts';
import { sessionStates } from '../../../shared/protocol/shapes.ts';
import type { Context, Run } from '../context.ts';
import type { OptionValues } from '../spec.ts';
import type { Specs } from '../specs/all.ts';
import { oneOf, wholeNumber } from '../values.ts';
import { whichSession } from '../which-session.ts';

type Until = ParamsOf<'session.wait'>['until'];

export const wait: Run<Specs['wait']> = async ({ options }, context) => {
  const until = untilOf(options);
  await waitUntil(until, options.session, context);
};

export const waitIdle: Run<Specs['wait-idle']> = async ({ options: { session, idle } }, context) => {
  await waitUntil({ type: 'idle', ms: wholeNumber(idle ?? '1000', '--idle') }, session, context);
};

async function waitUntil(until: Until, named: string | undefined, { daemon, out }: Context): Promise<void> {
  const session = whichSession(daemon, named);
  const result = await daemon.query('session.wait', { session, until });
  await out.result(result, () => `${result.state}\n`);
}

function untilOf({ idle, match, since, exit, state }: OptionValues<Specs['wait']['options']>): Until {
  if (since !== undefined && match === undefined) throw new NiiaError('usage', '--since goes with --match only');
  const conditions: Until[] = [];
  if (idle !== undefined) conditions.push({ type: 'idle', ms: wholeNumber(idle, '--idle') });
  if (match !== undefined) {
    checkPattern(match);
    conditions.push({
      type: 'match',
      pattern: match,
      since: since === undefined ? undefined : wholeNumber(since, '--since'),
    });
  }
  if (exit) conditions.push({ type: 'exit' });
  if (state !== undefined) conditions.push({ type: 'state', state: oneOf(state, sessionStates, '--state') });
  const [only, second] = conditions;
  if (only === undefined || second !== undefined) {
    throw new NiiaError(
      'usage',
      only === undefined ? 'nothing to wait for is named' : 'wait takes one condition',
      'One of: --idle MS, --match REGEX, --exit, --state STATE',
    );
  }
  return only;
}

function checkPattern(pattern: string): void {
  try {
    new RegExp(pattern);
  } catch (cause) {
    throw new NiiaError('usage', `--match: ${cause instanceof Error ? cause.message : pattern}`, undefined, { cause });
  }
}
