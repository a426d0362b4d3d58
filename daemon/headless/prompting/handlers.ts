import { NiiaError } from '../../../shared/errors.ts';
import type { MethodName } from '../../../shared/protocol/methods.ts';
import { streams } from '../../../shared/protocol/session-methods.ts';
import type { workerMethods } from '../../../shared/protocol/worker-methods.ts';
import type { Principal } from '../../../shared/rpc/call.ts';
import type { Handlers } from '../../../shared/rpc/server.ts';
import type { Sessions } from '../sessions.ts';
import { answerTo } from './answers.ts';
import { interruptExec } from './exec-turn.ts';
import type { PromptDesk } from './prompt-desk.ts';
import { driverOf } from './prompt-desk.ts';
import { interrupt, prompted } from './prompting.ts';
import type { Approvals } from './questions.ts';
import { questionOf } from './questions.ts';

export interface WorkerContext {
  who: Principal;
  /** This machine's name. */
  machine: string;
  sessions: Sessions;
  prompts: PromptDesk;
  approvals: Approvals;
}

type WorkerMethod = Extract<MethodName, keyof typeof workerMethods>;

export const workerHandlers: Handlers<WorkerMethod, WorkerContext> = {
  'session.prompt': async (call, { sessions, prompts, machine, who }) => {
    const session = sessions.choose(call.params.session);
    return await prompted(session, call, call.params.until, { desk: prompts, machine, who });
  },

  'session.answer': async (call, { sessions, prompts, machine, who }) => {
    const session = sessions.choose(call.params.session);
    const receipt = await prompted(session, call, 'finished', { desk: prompts, machine, who });
    const record = (await prompts.of(session)).get(call.params.id);
    if (!record) throw new NiiaError('internal', 'a finished prompt without a record');
    const { text, source, exact } = await answerTo(session, record, call.params.transcript ?? true, call.signal);
    await call.sink(streams.output).writeAll(Buffer.from(text));
    const { submittedAt, finishedAt } = receipt;
    const durationMs = submittedAt && finishedAt ? Date.parse(finishedAt) - Date.parse(submittedAt) : 0;
    return { ...receipt, source, exact, durationMs };
  },

  'session.approvals': async (call, { sessions, machine }) => {
    const { session } = call.params;
    const asked = session === undefined ? sessions.blocked() : [sessions.choose(session)];
    const found = await Promise.all(asked.map((one) => questionOf(one, machine)));
    return { questions: found.flatMap((one) => (one ? [one.shown] : [])) };
  },

  'session.approve': async (call, { sessions, approvals, machine, who }) => {
    const { session, id, option } = call.params;
    const key = call.key === undefined ? undefined : `${who.id}:${call.key}`;
    return await approvals.approve(sessions.choose(session), machine, id, option, key);
  },

  'session.interrupt': (call, { sessions, machine }) => {
    const session = sessions.choose(call.params.session);
    if (!session.live) throw session.endedError();
    if (driverOf(session).name === 'exec') interruptExec(session);
    else interrupt(session);
    return { session: session.id, machine, state: session.state().state };
  },
};
