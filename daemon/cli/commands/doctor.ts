import { NiiaError } from '../../../shared/errors.ts';
import type { Diagnosis, Finding } from '../../../shared/protocol/doctor-methods.ts';
import type { Context, Run } from '../context.ts';
import { type Colour, paint, printable } from '../format.ts';
import type { Specs } from '../specs/all.ts';

/** Longer than all checks may take. */
const answerMs = 20_000;

/** On this machine without its daemon; on another one by that one's. */
export const doctor: Run<Specs['doctor']> = async ({ options: { bundle }, machine, timeoutMs }, context) => {
  const { home, out } = context;
  if (machine !== undefined && bundle !== undefined) {
    throw new NiiaError(
      'usage',
      'a bundle is of this machine only',
      `Make it there: niia remote ask ${machine} -- niia doctor --bundle FILE`,
    );
  }
  const diagnosis = machine === undefined ? await examineHere(timeoutMs, context) : await askThere(context);
  if (bundle !== undefined) {
    const { writeBundle } = await import('../../doctor/bundle.ts');
    await writeBundle({ home, diagnosis, file: bundle, env: process.env });
  }
  await out.result(diagnosis, () => text(diagnosis));
  if (bundle !== undefined && !out.json) {
    await out.advice(`Wrote ${bundle}. It holds no keys, codes or session output; look into it before you pass it on.`);
  }
  context.exitCode = diagnosis.ok ? 0 : 1;
};

async function examineHere(timeoutMs: number | undefined, { home }: Context): Promise<Diagnosis> {
  const { examine } = await import('../../doctor/doctor.ts');
  return await examine({ home, ...(timeoutMs === undefined ? {} : { limitMs: timeoutMs }) });
}

async function askThere({ daemon, deadline }: Context): Promise<Diagnosis> {
  return await daemon.ask('doctor.run', {}, { deadlineMs: deadline.leftMs ?? answerMs });
}

const colours: Readonly<Record<Finding['status'], Colour>> = {
  pass: 'green',
  warn: 'yellow',
  fail: 'red',
  skip: 'dim',
};

function text({ checks, ok }: Diagnosis): string {
  const width = Math.max(...checks.map(({ name }) => name.length));
  const lines = checks.flatMap(({ name, status, found, mend }) => {
    const line = `${paint(status, colours[status])}  ${name.padEnd(width)}  ${printable(found)}`;
    return mend === null || status === 'pass' ? [line] : [line, `${' '.repeat(width + 8)}→ ${printable(mend)}`];
  });
  const failed = checks.filter(({ status }) => status === 'fail').length;
  const end = ok ? 'nothing fails' : `${failed} of ${checks.length} checks failed`;
  return `${lines.join('\n')}\n${end}\n`;
}
