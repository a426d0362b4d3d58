import * as v from 'valibot';
import { method } from './method.ts';
import { pathKinds } from './shapes.ts';

/** Six pairs of hex digits, between them colons or dashes. */
export const macSchema = v.pipe(
  v.string(),
  v.regex(/^[0-9a-f]{2}([:-][0-9a-f]{2}){5}$/i, 'a MAC address looks like 00:1a:2b:3c:4d:5e'),
  v.transform((mac) => mac.toLowerCase().replaceAll('-', ':')),
);

const octet = '(25[0-5]|2[0-4]\\d|1?\\d?\\d)';
/** Where magic packets go: an IPv4 address, with a port where it is not 9. */
export const broadcastSchema = v.pipe(
  v.string(),
  v.regex(new RegExp(`^${octet}(\\.${octet}){3}(:\\d{1,5})?$`), 'a broadcast address looks like 192.168.1.255'),
);

/** What ssh takes for a host: a name, an address, USER@HOST or a name of its settings; never an option. */
export const sshHostSchema = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z0-9_[][A-Za-z0-9_.@:%[\]-]{0,254}$/, 'a host looks like build-box or me@build-box'),
);

/** How a machine can be brought back whose daemon is down. */
export const wakeSchema = v.variant('by', [
  v.object({
    by: v.literal('ssh'),
    host: sshHostSchema,
    /** The command line that is run there. */
    command: v.pipe(v.string(), v.minLength(1), v.maxLength(4_096)),
  }),
  v.object({
    by: v.literal('lan'),
    mac: macSchema,
    /** The machine (its id) that sends the packet; null: this one. */
    via: v.nullable(v.string()),
    /** Null: the broadcast addresses of the sender's networks. */
    broadcast: v.nullable(broadcastSchema),
  }),
]);
export type Wake = v.InferOutput<typeof wakeSchema>;

export const wakeMethods = {
  /** What this machine knows of another one that may be away. */
  'machine.known': method({
    at: 'daemon',
    access: 'local',
    changes: false,
    params: v.object({ machine: v.string() }),
    result: v.object({
      machine: v.string(),
      id: v.string(),
      online: v.boolean(),
      lastSeen: v.nullable(v.string()),
      /** The path over which it was last reached. */
      path: v.nullable(v.picklist(pathKinds)),
      addresses: v.array(v.object({ url: v.string(), lastGoodAt: v.nullable(v.string()) })),
      wake: v.nullable(wakeSchema),
    }),
    down: v.never(),
    up: v.never(),
  }),
  /** Keeps how a machine can be woken; null forgets it. */
  'machine.setWake': method({
    at: 'daemon',
    access: 'local',
    changes: true,
    params: v.object({ machine: v.string(), wake: v.nullable(wakeSchema) }),
    result: v.object({ machine: v.string(), wake: v.nullable(wakeSchema) }),
    down: v.never(),
    up: v.never(),
  }),
  /** Sends a Wake-on-LAN packet into the networks of the machine that serves this; a few a minute. */
  'machine.sendWake': method({
    at: 'daemon',
    access: 'admin',
    changes: true,
    params: v.object({ mac: macSchema, broadcast: v.optional(broadcastSchema) }),
    result: v.object({ machine: v.string(), sentTo: v.array(v.string()) }),
    down: v.never(),
    up: v.never(),
  }),
} as const;
