import * as v from 'valibot';
import { NiiaError } from '../../shared/errors.ts';
import type { runMethods } from '../../shared/protocol/run-methods.ts';
import { deliverySchema } from '../../shared/protocol/run-methods.ts';
import { streams } from '../../shared/protocol/session-methods.ts';
import type { ByteSource } from '../../shared/rpc/byte-stream.ts';
import type { Principal } from '../../shared/rpc/call.ts';
import { explain } from '../../shared/rpc/client.ts';
import type { Handlers } from '../../shared/rpc/server.ts';
import { wholeStream } from '../../shared/rpc/whole-stream.ts';
import { StatusTeller } from '../../shared/runs/status-parts.ts';
import { replicaMessageSchema } from '../connector/core/messages.ts';
import type { StoredRecord } from '../connector/core/records.ts';
import { makeReport, reportMarkdown } from '../connector/report.ts';
import type { Runs } from '../connector/runs.ts';
import { noSuchRun } from '../connector/runs.ts';
import { parseJson } from '../home/json-file.ts';

/** Bytes: an outcome with its output as text, JSON and names, each escaped; and a message of voters, which holds one or more. */
const mostDelivered = 64 << 20;
const mostMessage = 80 << 20;
/** How much of a text a journal's event shows. */
const textShown = 2_000;
/** Between two words about the same run, milliseconds: a person sees no more. */
const tellEveryMs = 100;

export function runHandlers(runs: Runs, self: () => string): Handlers<keyof typeof runMethods, Principal> {
  return {
    'run.start': async ({ params, body, key }) => {
      let text: string;
      try {
        text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body);
      } catch (cause) {
        throw new NiiaError('usage', `${params.file} is not UTF-8`, undefined, { cause });
      }
      return { run: await runs.start(params, text, key) };
    },
    'run.list': () => ({ runs: runs.list() }),
    'run.status': async ({ params, sink }) => {
      await sink(streams.output).writeAll(Buffer.from(JSON.stringify(runs.status(params.run))));
      return {};
    },
    'run.watch': async ({ params: { run }, emit, signal }) => {
      const over = (): boolean => runs.hosted(run).isOver;
      const teller = new StatusTeller();
      await onChange(runs, run, signal, over, () => {
        for (const part of teller.parts(runs.status(run))) emit(part);
      });
      return {};
    },
    'run.logs': async ({ params: { run, since = 1, follow = false }, emit, signal }) => {
      let next = Math.max(1, since);
      const tell = (): void => {
        for (const { index, record } of runs.records(run).slice(next - 1)) {
          emit({ seq: index, at: record.at, record: shortened(record) });
          next = index + 1;
        }
      };
      await onChange(runs, run, signal, () => !follow || runs.hosted(run).isOver, tell);
      return { next };
    },
    'run.report': async ({ params: { run }, sink }) => {
      const records = runs.records(run).map(({ record }) => record);
      const report = makeReport(runs.status(run), records);
      await sink(streams.output).writeAll(Buffer.from(JSON.stringify({ markdown: reportMarkdown(report), report })));
      return {};
    },
    'run.cancel': async ({ params: { run } }) => {
      await runs.hosted(run).cancel();
      return info(runs, run);
    },
    'run.resume': async ({ params: { run, worker = null, decision = null } }) => {
      await runs.hosted(run).resume(worker, decision);
      return info(runs, run);
    },
    'run.renew': async ({ params: { report, ...key } }, asker) => {
      await runs.hosted(key.run).renew(key, report, machineOf(asker));
      return {};
    },
    'run.deliver': async ({ params: key, source }, asker) => {
      const from = machineOf(asker);
      // Whoever has nothing to deliver is not listened to.
      runs.hosted(key.run).checkHolds(key, from, 'or delivered');
      const { outcome, text } = await jsonOf(source(streams.input), mostDelivered, deliverySchema);
      await runs.hosted(key.run).deliver(key, outcome, text, from);
      return {};
    },
    'run.replicate': async ({ params: { run }, source }, asker) => {
      const message = await jsonOf(source(streams.input), mostMessage, replicaMessageSchema);
      await runs.receive(run, machineOf(asker), message);
      return {};
    },
    'scratch.list': async ({ params: key }, asker) => {
      runs.hosted(key.run).checkHolds(key, machineOf(asker));
      return { files: await runs.scratchpad(key.run).list() };
    },
    'scratch.get': async ({ params: { path, ...key }, sink }, asker) => {
      runs.hosted(key.run).checkHolds(key, machineOf(asker));
      const output = sink(streams.output);
      for await (const bytes of await runs.scratchpad(key.run).read(path)) await output.writeAll(bytes);
      return {};
    },
    'scratch.put': async ({ params: { run, worker, epoch, ...file }, source }, asker) => {
      runs.hosted(run).checkHolds({ worker, epoch }, machineOf(asker));
      await runs.scratchpad(run).write(file, () => source(streams.input));
      return {};
    },
  };

  /** Attempts and voters are other machines; this machine's own come by no link. */
  function machineOf(asker: Principal): string {
    return asker.kind === 'machine' ? asker.id : self();
  }
}

async function jsonOf<T>(source: ByteSource, most: number, schema: v.GenericSchema<unknown, T>): Promise<T> {
  const parsed = v.safeParse(schema, parseJson(Buffer.from(await wholeStream(source, most)).toString()));
  if (parsed.success) return parsed.output;
  throw new NiiaError('bad_request', `what came is not understood: ${explain(parsed.issues)}`);
}

function info(runs: Runs, run: string) {
  const found = runs.hosted(run).info();
  if (!found) throw noSuchRun(run);
  return found;
}

/** Calls `tell` now and after changes, until the run is `over` or nobody listens. */
async function onChange(
  runs: Runs,
  run: string,
  signal: AbortSignal,
  over: () => boolean,
  tell: () => void,
): Promise<void> {
  let wake: () => void = () => undefined;
  let changed = true;
  const stop = runs.watch(run, () => {
    changed = true;
    wake();
  });
  const abort = (): void => wake();
  signal.addEventListener('abort', abort, { once: true });
  try {
    while (!signal.aborted) {
      changed = false;
      const last = over();
      tell();
      if (last) return;
      // What changes in quick succession is told together.
      await new Promise((resolve) => setTimeout(resolve, tellEveryMs));
      while (!changed && !signal.aborted) {
        await new Promise<void>((resolve) => {
          wake = resolve;
          if (changed || signal.aborted) resolve();
        });
      }
    }
  } finally {
    signal.removeEventListener('abort', abort);
    stop();
  }
}

/** As it can be told in an event, to anybody who may look. */
function shortened({ definition, ...record }: StoredRecord): unknown {
  const { name } = (definition ?? {}) as { name?: unknown };
  return JSON.parse(
    JSON.stringify(definition === undefined ? record : { ...record, definition: { name } }),
    (_, value: unknown) =>
      typeof value === 'string' && value.length > textShown
        ? `${value.slice(0, textShown)}… (${value.length} characters)`
        : value,
  );
}
