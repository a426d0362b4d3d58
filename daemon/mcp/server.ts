import { McpServer } from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';
import { version } from '../home/version.ts';
import type { Machines } from './machines.ts';
import type { Registration, Right } from './tool.ts';
import { listMachines } from './tools/machines.ts';
import { runCommand } from './tools/run-command.ts';
import { listSessions, readSession, startSession, waitForSession, writeSession } from './tools/sessions.ts';
import { answerApproval, getAnswer, listApprovals, prompt } from './tools/workers.ts';

const tools: readonly Registration[] = [
  listMachines,
  listSessions,
  readSession,
  waitForSession,
  listApprovals,
  startSession,
  writeSession,
  prompt,
  getAnswer,
  answerApproval,
  runCommand,
];

const instructions = `niia joins a person's machines into one team. On each machine programs, AI workers among them, run in
terminal sessions that live on by themselves. list_machines shows the machines, list_sessions what runs on one of them. To give an AI worker work, use prompt or
get_answer rather than write_session.`;

export interface McpOptions {
  machines: Machines;
  /** What the tools that are offered may do. */
  rights: ReadonlySet<Right>;
  /** Id of the session that the server itself runs in. */
  ownSession: string | undefined;
}

/** An MCP server (Model Context Protocol, revisions of 2025 and 2026) with the tools that `rights` allow. */
export function mcpServer({ machines, rights, ownSession }: McpOptions): McpServer {
  const server = new McpServer({ name: 'niia', version }, { capabilities: { tools: {} }, instructions });
  for (const { right, register } of tools) {
    if (rights.has(right)) register(server, { machines, ownSession });
  }
  return server;
}

/** Serves on stdin and stdout until the client closes them. */
export async function serveOnStdio(options: McpOptions, onError: (error: Error) => void): Promise<void> {
  const closed = new Promise<void>((resolve) => {
    process.stdin.once('end', resolve).once('close', resolve);
  });
  const handle = serveStdio(() => mcpServer(options), { onerror: onError });
  await closed;
  await handle.close();
}
