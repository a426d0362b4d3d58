import type { Readable } from 'node:stream';
import type { Log } from '../home/log.ts';

/** Of one line, characters. */
const longestLine = 1_000;
/** Lines of one helper that are logged within a minute. */
const linesPerMinute = 20;

/** What the helper says on standard error, into the daemon's log; no more than a log can bear. */
export function relayStderr(stderr: Readable, log: Log): void {
  let rest = '';
  let minute = 0;
  let lines = 0;
  const say = (line: string): void => {
    const now = Math.floor(performance.now() / 60_000);
    if (now !== minute) {
      minute = now;
      lines = 0;
    }
    lines++;
    if (lines <= linesPerMinute) log.warn('the WebRTC helper says', { line });
    else if (lines === linesPerMinute + 1) log.warn('the WebRTC helper says more, which is left out for a minute');
  };
  stderr.setEncoding('utf8');
  stderr.on('data', (text: string) => {
    const [first = '', ...more] = text.split('\n');
    const parts = [rest + first, ...more];
    rest = (parts.pop() ?? '').slice(0, longestLine);
    for (const part of parts) if (part.trim()) say(part.slice(0, longestLine));
  });
  stderr.on('end', () => {
    if (rest.trim()) say(rest);
  });
}
