import type { Run } from '../context.ts';
import type { DaemonClient } from '../daemon-client.ts';
import { writeBytes } from '../output.ts';
import type { Specs } from '../specs/all.ts';

export const mcp: Run<Specs['mcp']> = async ({ options }, { daemon }) => {
  const { serveOnStdio } = await import('../../mcp/server.ts');
  const rights = new Set<'read' | 'write' | 'approve'>(['read']);
  if (!options['read-only']) rights.add('write');
  if (options['allow-approvals']) rights.add('approve');
  await serveOnStdio({ machines: reachedBy(daemon), rights, ownSession: process.env['NIIA_SESSION'] }, (error) => {
    // stdout is the client's.
    void writeBytes(2, Buffer.from(`niia: ${error.message}\n`));
  });
};

type Machines = Parameters<typeof import('../../mcp/server.ts').serveOnStdio>[0]['machines'];

/** The tools' requests go where the command's own would, each to the machine that it names. */
function reachedBy(daemon: DaemonClient): Machines {
  return {
    query: (method, params, { machine: to, ...options }) => daemon.query(method, params, { to, ...options }),
    change: (method, params, { machine: to, ...options }) => daemon.change(method, params, { to, ...options }),
    call: (method, params, { machine: to, ...options }) => daemon.call(method, params, { to, ...options }),
  };
}
