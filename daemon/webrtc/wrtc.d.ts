// The package's own types build on those of browsers, which this program does not have; simple-peer is its only user.
declare module 'wrtc' {
  const wrtc: { RTCPeerConnection: unknown; RTCSessionDescription: unknown; RTCIceCandidate: unknown };
  export default wrtc;
}
