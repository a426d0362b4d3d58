import { NiiaError } from '../../../shared/errors.ts';
import { ask } from '../../../shared/rpc/client.ts';
import type { Home } from '../../home/home.ts';
import { version } from '../../home/version.ts';
import { type HeadlessRecord, headlessRecords, isHeadlessRunning } from '../../process/headless-record.ts';
import { connectLocal } from '../../process/local-socket.ts';
import type { Check, Finding } from '../check.ts';
import { fail, pass, warn } from '../check.ts';

export interface HeadlessFacts {
  generation: string;
  pid: number;
  alive: boolean;
  /** Its live sessions; undefined where it does not answer. */
  sessions: number | undefined;
  /** Why it does not. */
  error: NiiaError | undefined;
  rssBytes: number;
}

/** `daemon`: whether one runs, which would have started what is missing. */
export function judgeHeadless(servers: readonly HeadlessFacts[]): Finding {
  const other = servers.find(({ error }) => error?.code === 'version_mismatch');
  if (other) {
    return fail(
      `the headless server ${other.generation} (pid ${other.pid}) is of another protocol version; its sessions run on, out of reach`,
      `niia upgrade --allow-downgrade --bundle FILE    (with the version that it is of, to reach them; kill ${other.pid} ends them)`,
    );
  }
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

const answerMs = 3_000;

export const checkHeadless: Check = async ({ home }) =>
  judgeHeadless(await Promise.all([...headlessRecords(home).values()].map((record) => factsOf(home, record))));

async function factsOf(home: Home, { generation, pid }: HeadlessRecord): Promise<HeadlessFacts> {
  const alive = isHeadlessRunning(home, generation);
  if (!alive) return { generation, pid, alive, sessions: undefined, error: undefined, rssBytes: 0 };
  try {
    const peer = await connectLocal(home.socket(`headless-${generation}`), { face: 'cli', software: version });
    try {
      const { sessions, rssBytes } = await ask(peer, 'headless.info', {}, { deadlineMs: answerMs });
      return { generation, pid, alive, sessions, error: undefined, rssBytes };
    } finally {
      peer.close();
    }
  } catch (error) {
    if (error instanceof NiiaError) return { generation, pid, alive, sessions: undefined, error, rssBytes: 0 };
    throw error;
  }
}
