import { answersWithinMs } from '../../../shared/ask-machines.ts';
import type { Question } from '../../../shared/protocol/worker-methods.ts';
import { noSuchQuestion, type WaitingQuestions, waitingQuestions } from '../../../shared/workers/waiting-questions.ts';
import type { Context, Run } from '../context.ts';
import { ago } from '../format.ts';
import type { Specs } from '../specs/all.ts';
import { whichSession } from '../which-session.ts';

export const approvals: Run<Specs['approvals']> = async ({ options }, context) => {
  const session = whichSession(context.daemon, options.session);
  const found = await questions(context, session);
  for (const { machine, why } of found.missing) await context.out.advice(`niia: ${machine} was not asked: ${why}`);
  await context.out.result(found, () => found.questions.map(text).join('\n'));
};

export const approve: Run<Specs['approve']> = async ({ args: [id, option] }, context) => {
  const { daemon, out } = context;
  const found = await questions(context, undefined);
  const question = found.questions.find((one) => one.id === id);
  if (!question) throw noSuchQuestion(id, found.missing, 'See what waits now: niia approvals');
  daemon.machine = question.machine;
  const result = await daemon.change('session.approve', { session: question.session, id, option });
  await out.result(result, () => `${result.option.label}\n`);
};

/** What waits on the machine that the command names, or on all of the team. */
async function questions({ daemon }: Context, session: string | undefined): Promise<WaitingQuestions> {
  if (daemon.machine !== undefined || session !== undefined) {
    return { ...(await daemon.query('session.approvals', { session })), missing: [] };
  }
  const { machines } = await daemon.query('machine.list', {}, { to: undefined });
  return await waitingQuestions(machines, (to) =>
    daemon.query('session.approvals', {}, { to, deadlineMs: answersWithinMs }),
  );
}

function text(question: Question): string {
  const { id, machine, session, sessionName, worker, since, options } = question;
  const name = sessionName === session ? '' : ` (${sessionName})`;
  const head = `${id}  ${machine}/${session}${name}${worker ? `  ${worker}` : ''}  since ${ago(since)}`;
  const body = question.question.split('\n').map((line) => `    ${line}`);
  const choices = options.map(({ number, label }) => `    ${number}. ${label}`);
  const none = choices.length === 0 ? [`    answer it by hand: niia attach ${machine}/${session}`] : [];
  return `${[head, ...body, ...choices, ...none].join('\n')}\n`;
}
