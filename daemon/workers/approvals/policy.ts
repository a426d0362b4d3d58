import { NiiaError } from '../../../shared/errors.ts';
import type { ApprovalPolicy } from '../../../shared/protocol/policy-methods.ts';
import type { Question } from '../../../shared/protocol/worker-methods.ts';

/** A longer command is for a person to read. Characters. */
const longestCommand = 4096;

/**
 * The policy that answers a question: the first that denies, else the first that allows, else none. A command that the
 * screen shows cut off, or in several lines, is not allowed by any.
 */
export function policyFor(question: Question, policies: readonly ApprovalPolicy[]): ApprovalPolicy | undefined {
  const meant = policies.filter(
    ({ session, worker }) =>
      (session === null || session === question.session || session === question.sessionName) &&
      (worker === null || worker === question.worker),
  );
  const deny = meant.find((policy) => policy.effect === 'deny' && matches(policy, question));
  return deny ?? meant.find((policy) => policy.effect === 'allow' && matches(policy, question));
}

/** Throws `usage` where the pattern is no regular expression. */
export function checkPolicy(policy: ApprovalPolicy): void {
  compiled(policy);
}

function matches(policy: ApprovalPolicy, question: Question): boolean {
  const text = policy.about === 'command' ? question.command : question.question;
  if (text === null || text === '') return false;
  if (policy.effect === 'allow' && (text.length > longestCommand || isCut(text))) return false;
  if (policy.effect === 'allow' && policy.about === 'command' && lineBreak.test(text)) return false;
  return compiled(policy).test(text.slice(0, longestCommand * 4));
}

/** `\s` and negated classes match them: that a command has several lines is not for the pattern to say. */
const lineBreak = /[\n\v\f\r\u0085\u2028\u2029]/;

function isCut(text: string): boolean {
  return /…|\.\.\.\s*$|\+\d+ lines/.test(text);
}

function compiled({ pattern, effect, name }: ApprovalPolicy): RegExp {
  try {
    return new RegExp(effect === 'allow' ? `^(?:${pattern})$` : pattern, 'u');
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new NiiaError('usage', `the pattern of the policy ${name} is no regular expression: ${why}`, undefined, {
      cause,
    });
  }
}
