import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { NiiaError } from '../../shared/errors.ts';
import type { ResultOf } from '../../shared/protocol/methods.ts';
import type { Wake } from '../../shared/protocol/wake-methods.ts';
import { isErrno } from '../home/files.ts';
import type { Context } from './context.ts';
import { ago, printable } from './format.ts';

export type KnownMachine = ResultOf<'machine.known'>;

/** How long a machine may take to come, unless `--timeout` says: one that is up only starts a process. */
const comesWithinMs = { ssh: 60_000, lan: 240_000 } as const;
/** A computer that does not wake may have missed the packet. */
const sendAgainMs = 20_000;
const lastWordsBytes = 4_096;

/** Brings a machine back as it was configured, and waits until it is there. Throws `offline` where it does not come. */
export async function wakeMachine(known: KnownMachine, wake: Wake, context: Context): Promise<void> {
  const { out } = context;
  const began = performance.now();
  if (wake.by === 'ssh') {
    await out.advice(`niia: waking ${known.machine}: ssh ${wake.host} ${wake.command}`);
    await runSsh(wake, context);
  } else {
    await sendPacket(known, wake, context);
  }
  await out.advice(`niia: waiting for ${known.machine}`);
  const again = setInterval(() => {
    if (wake.by === 'ssh') return;
    sendPacket(known, wake, context).catch(async (error: unknown) =>
      out.advice(`niia: ${NiiaError.from(error).message}`),
    );
  }, sendAgainMs);
  try {
    await untilOnline(known, comesWithinMs[wake.by], context);
  } finally {
    clearInterval(again);
  }
  await out.advice(`niia: ${known.machine} is back after ${((performance.now() - began) / 1_000).toFixed(1)} s`);
}

/** Why a machine cannot be used, with all that is known of it. */
export function awayError({ machine, lastSeen, path, addresses, wake }: KnownMachine): NiiaError {
  const seen = lastSeen === null ? 'never seen from here' : `last seen ${lastSeen} (${ago(lastSeen)})`;
  const over = path === null ? '' : ` over ${path}`;
  const reached = addresses.filter(({ lastGoodAt }) => lastGoodAt !== null);
  const where = (reached.length > 0 ? reached : addresses).slice(0, 3).map(({ url }) => printable(url));
  const at = where.length === 0 ? '' : `; ${reached.length > 0 ? 'reached' : 'known'} at ${where.join(', ')}`;
  return new NiiaError(
    'offline',
    `${machine} is offline: ${seen}${over}${at}`,
    wake
      ? `To bring it back: niia machine wake ${machine} (${wakeText(wake)})`
      : `Start it there with: niia up. From here, once set up: niia machine wake ${machine} --ssh HOST`,
  );
}

export function wakeText(wake: Wake): string {
  if (wake.by === 'ssh') return `ssh ${wake.host} ${wake.command}`;
  return [`a packet for ${wake.mac}`, ...(wake.broadcast === null ? [] : [`to ${wake.broadcast}`])].join(' ');
}

/** No shell here sees the words; the one at the other end reads the command line. */
async function runSsh({ host, command }: Extract<Wake, { by: 'ssh' }>, { deadline }: Context): Promise<void> {
  const child = spawn('ssh', ['-o', 'ConnectTimeout=20', '--', host, command], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-lastWordsBytes);
    process.stderr.write(text);
  });
  const limit = setTimeout(() => child.kill('SIGTERM'), deadline.leftMs ?? comesWithinMs.ssh);
  try {
    const [code, signal]: unknown[] = await once(child, 'close');
    if (code === 0) return;
    const last = said.trimEnd().split('\n').at(-1);
    const why = last ? `: ${printable(last)}` : '';
    throw new NiiaError(
      'failed',
      `ssh ${host} ended with ${signal ?? `exit code ${code}`}${why}`,
      `Try it by hand: ssh ${host} ${command}. Another command: niia machine wake M --ssh ${host} --ssh-command '…'`,
    );
  } catch (cause) {
    if (!isErrno(cause, 'ENOENT')) throw cause;
    throw new NiiaError('failed', 'there is no ssh on the PATH of this machine', 'Install OpenSSH, or use --mac.', {
      cause,
    });
  } finally {
    clearTimeout(limit);
  }
}

async function sendPacket(
  { machine }: KnownMachine,
  { mac, via, broadcast }: Extract<Wake, { by: 'lan' }>,
  { daemon, out }: Context,
): Promise<void> {
  const params = { mac, ...(broadcast === null ? {} : { broadcast }) };
  const sent = await daemon.ask('machine.sendWake', params, { to: via ?? undefined });
  await out.advice(`niia: waking ${machine}: ${sent.machine} sent a packet for ${mac} to ${sent.sentTo.join(', ')}`);
}

async function untilOnline(
  { id, machine }: KnownMachine,
  withinMs: number,
  { daemon, deadline }: Context,
): Promise<void> {
  const deadlineMs = deadline.leftMs ?? withinMs;
  const call = await daemon.call('machine.watch', {}, { to: undefined, deadlineMs });
  const there = new Promise<true>((resolve) => {
    call.onEvent(({ machines }) => {
      if (machines.some((one) => one.id === id && one.online)) resolve(true);
    });
  });
  // Whichever side's clock is first: a watch whose time is over ends, or fails.
  const over = call.result.then(
    () => false,
    (error: unknown) => {
      if (NiiaError.from(error).code === 'timeout') return false;
      throw error;
    },
  );
  try {
    if (await Promise.race([there, over])) return;
    throw new NiiaError(
      'offline',
      `${machine} did not come within ${Math.round(deadlineMs / 1_000)} s`,
      'Is it switched on, and does it start niia by itself? See: niia service install',
    );
  } finally {
    call.cancel();
  }
}
