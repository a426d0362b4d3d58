import { NiiaError } from '../../shared/errors.ts';
import { Pty } from './pty.ts';

const probeMs = 10_000;
const word = 'niia-probe';

/**
 * Has a trivial command print a word in a terminal of its own. Resolves with what came; rejects where it is not that
 * word, which means that sessions started here would not work.
 */
export async function probeTerminal(): Promise<string> {
  const parts: Uint8Array[] = [];
  const windows = process.platform === 'win32';
  const output = await new Promise<string>((resolve, reject) => {
    const giveUp = setTimeout(() => {
      pty.kill('SIGKILL');
      reject(new NiiaError('failed', `a command in a new terminal did not end within ${probeMs / 1_000} s`));
    }, probeMs);
    const pty = new Pty({
      file: windows ? 'cmd.exe' : '/bin/sh',
      args: windows ? ['/d', '/c', `echo ${word}`] : ['-c', `echo ${word}`],
      cwd: windows ? process.cwd() : '/',
      env: Object.fromEntries(
        Object.entries(process.env).flatMap(([key, value]) => (value === undefined ? [] : [[key, value]])),
      ),
      cols: 80,
      rows: 24,
      onData: (bytes) => parts.push(bytes),
      onExit: () => {
        clearTimeout(giveUp);
        resolve(Buffer.concat(parts).toString());
      },
    });
  });
  if (!output.includes(word))
    throw new NiiaError('failed', `a new terminal printed ${JSON.stringify(output.slice(0, 200))}`);
  return output.trim();
}
