import type { ServerContext } from '@modelcontextprotocol/server';

/** Often enough that no client takes a long wait for a dead server. */
const everyMs = 5_000;

/** Tells the client, where it asked for that, how many seconds it has waited so far. Returns what ends it. */
export function reportProgress({ mcpReq }: ServerContext, message: string): () => void {
  const progressToken = mcpReq._meta?.progressToken;
  if (progressToken === undefined) return () => undefined;
  const startedAt = performance.now();
  const timer = setInterval(() => {
    const progress = Math.round((performance.now() - startedAt) / 1_000);
    // A client that has gone is told nothing more: its request is cancelled by that.
    mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress, message } }).catch(() => {
      clearInterval(timer);
    });
  }, everyMs);
  return () => clearInterval(timer);
}
