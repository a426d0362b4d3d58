/** What a gateway counts since its start. */
export class Counters {
  relayedMessages = 0;
  relayedBytes = 0;
  /** Messages for an index that is nobody's, not the sender's business, or reset. */
  droppedMessages = 0;
  circuitResets = 0;
  readonly refused = new Map<string, number>();

  refuse(code: string): void {
    this.refused.set(code, (this.refused.get(code) ?? 0) + 1);
  }
}

/** What is true of a gateway at one moment. */
export interface Gauges {
  connections: number;
  greetings: number;
  teams: number;
  guests: number;
  waitingBytes: number;
  draining: boolean;
}

/** Prometheus text format 0.0.4. */
export function prometheusText(counters: Counters, gauges: Gauges): string {
  const memory = process.memoryUsage();
  const lines: string[] = [];
  const metric = (
    name: string,
    type: 'gauge' | 'counter',
    help: string,
    value: number | Array<[string, number]>,
  ): void => {
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
    if (typeof value === 'number') lines.push(`${name} ${value}`);
    else for (const [labels, count] of value) lines.push(`${name}{${labels}} ${count}`);
  };
  const refused = [...counters.refused].map(([code, count]): [string, number] => [`code="${code}"`, count]);
  metric('niia_gateway_connections', 'gauge', 'Machines that are connected.', gauges.connections);
  metric('niia_gateway_greetings', 'gauge', 'Connections that have not proved who they are yet.', gauges.greetings);
  metric('niia_gateway_teams', 'gauge', 'Teams with a machine that is connected.', gauges.teams);
  metric('niia_gateway_guests', 'gauge', 'Guests that talk to their inviter.', gauges.guests);
  metric('niia_gateway_waiting_bytes', 'gauge', 'Bytes that wait for machines that read slowly.', gauges.waitingBytes);
  metric('niia_gateway_draining', 'gauge', '1 while the gateway drains.', gauges.draining ? 1 : 0);
  metric('niia_gateway_relayed_messages_total', 'counter', 'Messages relayed.', counters.relayedMessages);
  metric('niia_gateway_relayed_bytes_total', 'counter', 'Payload bytes relayed.', counters.relayedBytes);
  metric(
    'niia_gateway_dropped_messages_total',
    'counter',
    'Messages for nobody that is there.',
    counters.droppedMessages,
  );
  metric(
    'niia_gateway_circuit_resets_total',
    'counter',
    'Circuits reset since too much waited.',
    counters.circuitResets,
  );
  metric('niia_gateway_refused_total', 'counter', 'Connections refused, by error code.', refused);
  metric('process_resident_memory_bytes', 'gauge', 'Resident memory of the process.', memory.rss);
  metric('nodejs_heap_size_used_bytes', 'gauge', 'Heap in use.', memory.heapUsed);
  metric('nodejs_external_memory_bytes', 'gauge', 'Memory of buffers outside of the heap.', memory.external);
  return `${lines.join('\n')}\n`;
}
