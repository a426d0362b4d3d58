import * as v from 'valibot';

/** `stun:` (RFC 7064) or `turn:` (RFC 7065) with a host, a port where it is not the usual one, and for TURN the transport. */
const iceUrl = v.pipe(
  v.string(),
  v.maxLength(300),
  v.regex(
    /^(?:stuns?:(?:\[[0-9a-f:.]+\]|[^\s:?@/[\]]+)(?::\d{1,5})?|turns?:(?:\[[0-9a-f:.]+\]|[^\s:?@/[\]]+)(?::\d{1,5})?(?:\?transport=(?:udp|tcp))?)$/i,
  ),
);

/** A server that helps two machines to find a way between them. One with a `turn:` URL has a name and a credential. */
export const iceServerSchema = v.object({
  urls: v.pipe(v.array(iceUrl), v.minLength(1), v.maxLength(8)),
  username: v.exactOptional(v.pipe(v.string(), v.maxLength(512))),
  credential: v.exactOptional(v.pipe(v.string(), v.maxLength(512))),
});
export type IceServer = v.InferOutput<typeof iceServerSchema>;
