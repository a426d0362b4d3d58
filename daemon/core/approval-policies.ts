import * as v from 'valibot';
import { NiiaError } from '../../shared/errors.ts';
import type { ApprovalPolicy } from '../../shared/protocol/policy-methods.ts';
import { approvalPolicySchema } from '../../shared/protocol/policy-methods.ts';
import type { Question } from '../../shared/protocol/worker-methods.ts';
import { ask } from '../../shared/rpc/client.ts';
import { readIfThere, writeAtomically } from '../home/files.ts';
import type { Log } from '../home/log.ts';
import { checkPolicy, policyFor } from '../workers/approvals/policy.ts';
import type { AuditLog } from './audit.ts';
import type { HeadlessServer, HeadlessServers } from './headless-servers.ts';

const fileSchema = v.object({ policies: v.array(approvalPolicySchema) });
const questionsKept = 1024;
const deadlineMs = 15_000;

type PolicedServer = Pick<HeadlessServer, 'generation' | 'sessions' | 'peer'>;

export interface ApprovalPoliciesOptions {
  /** The file that holds them. */
  path: string;
  servers: {
    all: ReadonlyArray<PolicedServer>;
    changes: Pick<HeadlessServers['changes'], 'subscribe'>;
  };
  audit: Pick<AuditLog, 'record'>;
  /** This machine's name and id. */
  machine: () => { name: string; id: string };
  log: Log;
}

/** Answers questions that its machine's policies decide, and writes each answer into the audit log. */
export class ApprovalPolicies {
  readonly #o: ApprovalPoliciesOptions;
  /** Questions that were looked at. */
  readonly #seen = new Set<string>();
  readonly #unsubscribe: () => void;

  constructor(options: ApprovalPoliciesOptions) {
    this.#o = options;
    this.#unsubscribe = options.servers.changes.subscribe(() => this.#look());
  }

  /** Throws `failed` where the file cannot be understood: then nothing is answered by it. */
  list(): ApprovalPolicy[] {
    const { path } = this.#o;
    const text = readIfThere(path);
    if (text === undefined) return [];
    try {
      const { policies } = v.parse(fileSchema, JSON.parse(text));
      for (const policy of policies) checkPolicy(policy);
      return policies;
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new NiiaError(
        'failed',
        `${path} cannot be understood: ${why}`,
        'Mend or remove it; until then a person is asked.',
        {
          cause,
        },
      );
    }
  }

  set(policy: ApprovalPolicy): ApprovalPolicy[] {
    checkPolicy(policy);
    const others = this.list().filter(({ name }) => name !== policy.name);
    return this.#save([...others, policy]);
  }

  remove(name: string): ApprovalPolicy[] {
    const policies = this.list();
    if (!policies.some((policy) => policy.name === name)) {
      throw new NiiaError('usage', `there is no policy ${name}`, 'See: niia policy list');
    }
    return this.#save(policies.filter((policy) => policy.name !== name));
  }

  close(): void {
    this.#unsubscribe();
  }

  #save(policies: ApprovalPolicy[]): ApprovalPolicy[] {
    writeAtomically(this.#o.path, `${JSON.stringify({ policies }, null, 2)}\n`);
    // What waits now may be decided by the new ones.
    this.#seen.clear();
    this.#look();
    return policies;
  }

  #look(): void {
    for (const server of this.#o.servers.all) {
      for (const session of server.sessions) {
        if (session.state !== 'blocked') continue;
        // Another evidence for it is another question, or the same seen better.
        const sign = `${server.generation} ${session.id} ${session.stateSince ?? ''} ${session.evidence}`;
        if (this.#seen.has(sign)) continue;
        this.#remember(sign);
        this.#decide(server, session.id).catch((error: unknown) => {
          this.#o.log.warn('a question could not be answered by policy', { session: session.id, error });
        });
      }
    }
  }

  async #decide(server: PolicedServer, session: string): Promise<void> {
    const policies = this.list();
    if (policies.length === 0) return;
    const from = this.#asPolicy('policy');
    const { questions } = await ask(server.peer, 'session.approvals', { session }, { from, deadlineMs });
    for (const question of questions) {
      const policy = policyFor(question, policies);
      if (policy) await this.#answer(server, question, policy);
    }
  }

  async #answer(server: PolicedServer, question: Question, policy: ApprovalPolicy): Promise<void> {
    const { id, session } = question;
    const from = this.#asPolicy(`policy ${policy.name}`);
    const { id: self } = this.#o.machine();
    const subject = JSON.stringify({
      session,
      id,
      command: question.command,
      option: policy.effect,
      policy: policy.name,
    });
    const entry = {
      at: new Date().toISOString(),
      who: { kind: 'local', id: self, name: from.principal.name, role: 'admin' },
      method: 'session.approve',
      subject: subject.slice(0, 2000),
    } as const;
    this.#o.audit.record({ ...entry, outcome: 'allowed' });
    try {
      await ask(server.peer, 'session.approve', { session, id, option: policy.effect }, { from, deadlineMs });
    } catch (error) {
      this.#o.audit.record({ ...entry, outcome: 'refused', why: NiiaError.from(error).message });
      throw error;
    }
  }

  #asPolicy(name: string) {
    const { name: machine, id } = this.#o.machine();
    return { machine, principal: { kind: 'local', id, name, role: 'admin' } } as const;
  }

  #remember(sign: string): void {
    this.#seen.add(sign);
    const [oldest] = this.#seen;
    if (this.#seen.size > questionsKept && oldest !== undefined) this.#seen.delete(oldest);
  }
}
