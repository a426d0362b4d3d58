import { LogFile } from './log-file.ts';

/** One line per event on standard error: time, level, part, message, and fields as JSON. */
export type Level = 'debug' | 'info' | 'warn' | 'error';

const order: readonly Level[] = ['debug', 'info', 'warn', 'error'];

let file: LogFile | undefined;

/** From now on the log that standard error is appended to, if it is `path`, is kept at a bounded size. */
export function keepLog(path: string): void {
  file = LogFile.ofStderr(path);
}

function threshold(): number {
  const wanted = order.findIndex((level) => level === process.env['NIIA_LOG']);
  return wanted < 0 ? order.indexOf('info') : wanted;
}

export class Log {
  readonly #part: string;
  readonly #threshold: number;

  constructor(part: string) {
    this.#part = part;
    this.#threshold = threshold();
  }

  debug(message: string, fields?: Record<string, unknown>): void {
    this.#write('debug', message, fields);
  }
  info(message: string, fields?: Record<string, unknown>): void {
    this.#write('info', message, fields);
  }
  warn(message: string, fields?: Record<string, unknown>): void {
    this.#write('warn', message, fields);
  }
  error(message: string, fields?: Record<string, unknown>): void {
    this.#write('error', message, fields);
  }

  #write(level: Level, message: string, fields: Record<string, unknown> | undefined): void {
    if (order.indexOf(level) < this.#threshold) return;
    const tail = fields
      ? ` ${JSON.stringify(fields, (_, value) => (value instanceof Error ? value.message : value))}`
      : '';
    const line = `${new Date().toISOString()} ${level} ${this.#part}: ${message}${tail}\n`;
    if (file) file.write(line);
    else process.stderr.write(line);
  }
}
