import { span } from '../../../shared/duration.ts';
import { NiiaError } from '../../../shared/errors.ts';
import type { ResultOf } from '../../../shared/protocol/methods.ts';
import { reportedStates } from '../../../shared/protocol/state-methods.ts';
import type { Run } from '../context.ts';
import type { Cell } from '../format.ts';
import { paint, printable, table } from '../format.ts';
import type { Specs } from '../specs/all.ts';
import { oneOf } from '../values.ts';
import { whichSession } from '../which-session.ts';

type Explained = ResultOf<'session.explain'>;

export const explain: Run<Specs['explain']> = async ({ args: [given], options }, { daemon, out }) => {
  const session = whichSession(daemon, options.session, given);
  const result = await daemon.query('session.explain', { session });
  await out.result(result, () => text(result));
  if (!out.json) for (const warning of result.warnings) await out.advice(`niia: ${printable(warning)}`);
};

export const report: Run<Specs['report']> = async ({ options }, { daemon, out }) => {
  if (options.state === undefined) {
    throw new NiiaError('usage', 'no state is named', `Name one: --state ${reportedStates.join('|')}`);
  }
  const state = oneOf(options.state, reportedStates, '--state');
  const session = process.env['NIIA_SESSION'];
  const token = process.env['NIIA_SESSION_TOKEN'];
  if (!session || !token) {
    throw new NiiaError(
      'usage',
      'this is not inside a session: NIIA_SESSION and NIIA_SESSION_TOKEN are not set',
      'niia report is for hooks of programs that run in a session.',
    );
  }
  const result = await daemon.query('session.report', { session, token, state, message: options.message });
  await out.result(result, () => `${result.session}: ${result.state}\n`);
};

const settings: Record<Explained['setting'], string> = {
  program: 'a program whose rules are known',
  shell: 'a shell at its prompt',
  command: 'a command that the shell runs',
  other: 'a program that niia has no rules for',
  ended: 'nothing: it has ended',
};

function text(found: Explained): string {
  const { session, machine, state, evidence, stateEvidence, setting, foreground, title, rulesOf, quietMs } = found;
  const sure =
    stateEvidence && ` (${stateEvidence.source}, ${sureness(stateEvidence.confidence)}, ${age(stateEvidence.ageMs)})`;
  const facts = [
    ['foreground', [foreground, settings[setting]].filter(Boolean).join(': ')],
    ['title', title || '-'],
    ['rules', rulesOf ?? '-'],
    ['last output', quietMs === null ? '-' : age(quietMs)],
  ];
  const lines = [
    `${session} on ${machine}: ${paint(state, 'bold')}`,
    `  ${printable(evidence)}${sure ?? ''}`,
    ...facts.map(([name, value]) => `  ${name}: ${printable(value ?? '')}`),
  ];
  const spoken = found.speaks.map((one): Cell[] => {
    const { source, rule, confidence, ageMs, excerpt } = one;
    return [source, one.state, rule, sureness(confidence), age(ageMs), excerpt];
  });
  const parts = [`${lines.join('\n')}\n`];
  if (spoken.length > 0) parts.push(table(['SOURCE', 'SAYS', 'RULE', 'SURE', 'SINCE', 'BECAUSE'], spoken));
  const rules = found.rules.map((rule): Cell[] => [
    rule.fired ? { text: 'fired', colour: 'green' } : '-',
    rule.id,
    rule.state,
    rule.why,
    rule.file ?? rule.seenWith.join(', '),
  ]);
  if (rules.length > 0) parts.push(table(['RULES', 'ID', 'SAYS', 'BECAUSE', 'FROM'], rules));
  return parts.join('\n');
}

function sureness(confidence: number): string {
  return `${Math.round(confidence * 100)} %`;
}

function age(ms: number): string {
  return `${ms < 10_000 ? `${(ms / 1000).toFixed(1)}s` : span(ms)} ago`;
}
