import { NiiaError } from '../../shared/errors.ts';
import type { SessionInfo } from '../../shared/protocol/shapes.ts';
import type { ServedCall } from '../../shared/rpc/server.ts';
import { TokenBucket } from '../../shared/token-bucket.ts';
import type { Sessions } from './sessions.ts';

const betweenEventsMs = 100;
/** Somebody may wait for a state: it is told sooner, as long as the average stays as above. */
const betweenUrgentMs = 25;
/** Events that a quiet time saves up for that. */
const mostSaved = 4;
/** Mere growth of the output is no change that wakes anybody; it is looked at this often. */
const growthEveryMs = 1000;

/** Sends the list now and after each change until the caller goes; never faster than the connection takes it. */
export async function watchSessions(sessions: Sessions, call: ServedCall<'session.watch'>): Promise<never> {
  let sent = '';
  let timer: NodeJS.Timeout | undefined;
  let dirty = true;
  let hurry = false;
  let lookedAt = Number.NEGATIVE_INFINITY;
  const budget = new TokenBucket(1000 / betweenEventsMs, mostSaved, performance.now());
  // Nothing is saved up yet: what is there at first is for the first list.
  budget.take(mostSaved - 1, performance.now());
  const look = () => {
    clearTimeout(timer);
    timer = undefined;
    if (!dirty) return;
    timer = setTimeout(look, betweenEventsMs);
    lookedAt = performance.now();
    hurry = false;
    // An earlier list has not left yet: the next one will be newer.
    if (call.raw.outbox.length > 0) return;
    dirty = false;
    const list: SessionInfo[] = sessions.list();
    const text = JSON.stringify(list);
    if (text === sent) return;
    sent = text;
    budget.take(1, lookedAt);
    call.emit({ sessions: list });
  };
  const changed = (urgent?: 'urgent') => {
    dirty = true;
    if (timer === undefined) {
      look();
    } else if (urgent && !hurry && !budget.empty(performance.now())) {
      hurry = true;
      clearTimeout(timer);
      timer = setTimeout(look, Math.max(0, lookedAt + betweenUrgentMs - performance.now()));
    }
  };
  const unwatch = sessions.watch(changed);
  const growth = setInterval(() => changed(), growthEveryMs);
  try {
    look();
    return await new Promise<never>((_, reject) => {
      const gone = () => reject(NiiaError.from(call.signal.reason));
      if (call.signal.aborted) gone();
      else call.signal.addEventListener('abort', gone, { once: true });
    });
  } finally {
    unwatch();
    clearInterval(growth);
    clearTimeout(timer);
  }
}
