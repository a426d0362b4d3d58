import { NiiaError } from '../../../shared/errors.ts';
import type { ParsedParamsOf } from '../../../shared/protocol/methods.ts';
import { thisInstallation } from '../../process/installation.ts';
import type { McpServer } from '../../workers/drivers/driver.ts';
import { driverNamed } from '../../workers/drivers/drivers.ts';
import { workerStart } from '../../workers/drivers/start.ts';

type NewParams = ParsedParamsOf<'session.new'>;

/** A worker's session keeps its own size: wide enough that little is wrapped. */
const workerSize = { cols: 120, rows: 40 } as const;

/** niia's own, as the worker's session sees it. The version that started the session stays as long as it lives. */
const ownMcpServer: McpServer = {
  name: 'niia',
  command: process.execPath,
  args: [thisInstallation.entry, 'mcp'],
  variables: ['NIIA_HOME', 'NIIA_SESSION', 'NIIA_SESSION_TOKEN', 'NIIA_SOCKET'],
};

/** The request for a session with what its worker's driver adds. */
export function withWorker(params: NewParams): NewParams {
  const { worker, mcp = false } = params;
  if (mcp && (worker === undefined || params.argv?.length)) {
    throw new NiiaError('usage', 'only a worker that niia starts by its kind can be told of its MCP server');
  }
  if (worker === undefined) return params;
  const words = params.args ?? [];
  const start = params.argv?.length ? undefined : workerStart(worker, words, mcp ? ownMcpServer : undefined);
  const size = worker === 'shell' ? {} : { ...workerSize, sizing: 'fixed' as const };
  const chosen = { ...size, ...withoutUndefined(params) };
  if (!start) return params.argv?.length ? chosen : { ...chosen, argv: words };
  const env = { ...start.env, ...params.env };
  return { ...chosen, argv: start.argv, env };
}

/** The error for a worker whose program is not there says how to get it. */
export function explainMissing(error: unknown, worker: string | undefined): unknown {
  if (worker === undefined || !(error instanceof NiiaError) || !/: command not found$/.test(error.message))
    return error;
  const install = driverNamed(worker)?.start.install;
  if (!install) return error;
  return new NiiaError(
    'failed',
    `${worker} is not installed on this machine: ${error.message}`,
    `${install}\n${error.hint ?? ''}`.trim(),
    {
      cause: error,
    },
  );
}

function withoutUndefined(params: NewParams): NewParams {
  return Object.fromEntries(Object.entries(params).filter(([, value]) => value !== undefined));
}
