import type { Run } from '../context.ts';
import type { Specs } from '../specs/all.ts';

export const get: Run<Specs['config get']> = async ({ args: [key] }, { daemon, out }) => {
  const result = await daemon.query('config.get', key === undefined ? {} : { key });
  await out.result(result, () => (key === undefined ? lines(result.config) : `${shown(result.config[key])}\n`));
};

export const set: Run<Specs['config set']> = async ({ args: [key, value] }, { daemon, out }) => {
  const result = await daemon.change('config.set', { key, value });
  await out.result(result, () => lines(result.config));
};

function lines(config: Record<string, unknown>): string {
  return Object.entries(config)
    .map(([key, value]) => `${key} = ${shown(value)}\n`)
    .join('');
}

function shown(value: unknown): string {
  if (value === null || value === undefined) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
}
