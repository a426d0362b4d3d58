import { Log } from '../../../daemon/home/log.ts';
import { WebRtc } from '../../../daemon/webrtc/webrtc.ts';

// A daemon as far as its helper can tell: one attempt, and the helper's process id on standard output.
const rtc = new WebRtc({ log: new Log('parent'), iceServers: () => [], entry: process.argv[2] ?? '' });
rtc.open(true, {
  signal: () => process.stdout.write(`${rtc.pid}\n`),
  connected: () => undefined,
  failed: () => undefined,
});
