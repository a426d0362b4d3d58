import { NiiaError } from '../../../shared/errors.ts';
import type { ResultOf } from '../../../shared/protocol/methods.ts';
import { type PathKind, pathKinds } from '../../../shared/protocol/shapes.ts';
import type { Run } from '../context.ts';
import { ago, paint, printable, roundTrip, table } from '../format.ts';
import type { Specs } from '../specs/all.ts';

/** Paths are between this machine and another: the question goes to this one's daemon. */
export const path: Run<Specs['path']> = async ({ options, machine }, { daemon, out }) => {
  if (machine === undefined) throw new NiiaError('usage', 'which machine?', 'Usage: niia remote path M');
  daemon.machine = undefined;
  if (options.pin !== undefined) await daemon.change('path.pin', { machine, path: pinOf(options.pin) });
  const result = await daemon.query('path.show', { machine });
  await out.result(result, () => pathText(result));
};

export const addAddress: Run<Specs['machine add-address']> = async ({ args: [machine, address] }, { daemon, out }) => {
  const result = await daemon.change('path.addAddress', { machine, address });
  await out.result(result, () => addressText(result.addresses));
};

export const removeAddress: Run<Specs['machine remove-address']> = async (
  { args: [machine, address] },
  { daemon, out },
) => {
  const result = await daemon.change('path.removeAddress', { machine, address });
  await out.result(result, () => addressText(result.addresses));
};

function pinOf(word: string): PathKind | null {
  if (word === 'auto') return null;
  const kind = pathKinds.find((known) => known === word);
  if (!kind) throw new NiiaError('usage', `--pin takes p2p, direct, gateway or auto, not "${word}"`);
  return kind;
}

function pathText(report: ResultOf<'path.show'>): string {
  const { machine, state, path: active, rttMs, since, preferred, candidates, addresses, counts } = report;
  const lines = [
    `${machine}  ${paint(state, state === 'up' ? 'green' : 'yellow')}  ${active ?? '-'}  ${roundTrip(rttMs)}  since ${ago(since)}`,
  ];
  if (preferred) lines.push(`pinned to ${preferred} (niia remote path ${machine} --pin auto leaves it to the ranking)`);
  lines.push(
    '',
    table(
      ['PATH', 'STATE', 'RTT', 'WHY'],
      candidates.map(({ kind, state: its, rttMs: rtt, note }) => [
        kind,
        its === 'active' ? { text: its, colour: 'green' as const } : its,
        roundTrip(rtt),
        note,
      ]),
    ),
  );
  if (addresses.length > 0) lines.push(addressText(addresses));
  if (counts) {
    const { switches, resent, malformed, forged, replayed } = counts;
    lines.push(
      `${switches} moves between paths, ${resent} frames sent again, ${malformed + forged + replayed} dropped`,
    );
  }
  return `${lines.join('\n').trimEnd()}\n`;
}

function addressText(addresses: ResultOf<'path.show'>['addresses']): string {
  return table(
    ['ADDRESS', 'FROM', 'LAST GOOD'],
    addresses.map(({ url, source, lastGoodAt }) => [
      printable(url),
      source === 'given' ? 'you' : 'itself',
      ago(lastGoodAt),
    ]),
  );
}
