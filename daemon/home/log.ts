/** One line per event on standard error: time, level, part, message, and fields as JSON. */
export type Level = 'debug' | 'info' | 'warn' | 'error';

const order: readonly Level[] = ['debug', 'info', 'warn', 'error'];

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
    process.stderr.write(`${new Date().toISOString()} ${level} ${this.#part}: ${message}${tail}\n`);
  }
}
