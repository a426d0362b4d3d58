import { readdirSync } from 'node:fs';
import * as v from 'valibot';
import { NiiaError } from '../../../shared/errors.ts';
import { ask } from '../../../shared/rpc/client.ts';
import { isErrno, readIfThere } from '../../home/files.ts';
import type { Home } from '../../home/home.ts';
import { processStart } from '../../home/process-identity.ts';
import { version } from '../../home/version.ts';
import { connectLocal } from '../../process/local-socket.ts';
import type { Check, Finding } from '../check.ts';
import { fail, pass, warn } from '../check.ts';

export interface HeadlessFacts {
  generation: string;
  pid: number;
  alive: boolean;
  /** Its live sessions; undefined where it does not answer. */
  sessions: number | undefined;
  rssBytes: number;
}

/** `daemon`: whether one runs, which would have started what is missing. */
export function judgeHeadless(servers: readonly HeadlessFacts[]): Finding {
  const hung = servers.find((server) => server.alive && server.sessions === undefined);
  if (hung) {
    return fail(
      `the headless server ${hung.generation} (pid ${hung.pid}) runs but does not answer; its sessions hang`,
      `kill -CONT ${hung.pid}    (where it was stopped; killing it ends its sessions)`,
    );
  }
  const gone = servers.find((server) => !server.alive);
  if (gone)
    return warn(
      `the headless server ${gone.generation} (pid ${gone.pid}) was killed; its sessions ended`,
      'niia start',
    );
  if (servers.length === 0) return pass('none runs; the first session starts one');
  const told = servers.map(({ pid, sessions, rssBytes }) => `pid ${pid}, ${sessions} sessions, ${rssBytes >> 20} MB`);
  return pass(told.join('; '));
}

const recordSchema = v.object({ generation: v.string(), pid: v.number() });
const answerMs = 3_000;

export const checkHeadless: Check = async ({ home }) =>
  judgeHeadless(await Promise.all(recordsOf(home).map((record) => factsOf(home, record))));

function recordsOf(home: Home): Array<v.InferOutput<typeof recordSchema>> {
  let names: string[];
  try {
    names = readdirSync(home.path('headless'));
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
  return names
    .filter((name) => name.endsWith('.json'))
    .map((name) => readIfThere(home.path('headless', name)))
    .filter((text) => text !== undefined)
    .map((text) => v.parse(recordSchema, JSON.parse(text)));
}

async function factsOf(home: Home, { generation, pid }: v.InferOutput<typeof recordSchema>): Promise<HeadlessFacts> {
  const alive = processStart(pid) !== undefined;
  try {
    const peer = await connectLocal(home.socket(`headless-${generation}`), { face: 'cli', software: version });
    try {
      const { sessions, rssBytes } = await ask(peer, 'headless.info', {}, { deadlineMs: answerMs });
      return { generation, pid, alive, sessions, rssBytes };
    } finally {
      peer.close();
    }
  } catch (error) {
    if (error instanceof NiiaError) return { generation, pid, alive, sessions: undefined, rssBytes: 0 };
    throw error;
  }
}
