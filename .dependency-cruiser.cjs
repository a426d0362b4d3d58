// Imports run one way: shared <- daemon parts <- faces <- composition root; shared <- extension. Type imports count.
const only = (name, from, to, why) => ({
  name,
  severity: 'error',
  comment: why,
  from: { path: from },
  to: { path: '^(shared|daemon|extension)/', pathNot: to },
});
const oneDoor = (name, pkg, file) => ({
  name: `one-door-${name}`,
  severity: 'error',
  comment: `Only ${file} imports ${name}, so that it can be exchanged in one place.`,
  from: { path: '^(shared|daemon|extension)/', pathNot: `^${file}$` },
  to: { path: `node_modules/${pkg}` },
});

module.exports = {
  forbidden: [
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    { name: 'no-unresolved', severity: 'error', from: {}, to: { couldNotResolve: true, pathNot: '^vscode$' } },
    only('shared-stands-alone', '^shared/', '^shared/', 'shared knows nobody'),
    only(
      'extension-uses-shared-only',
      // How it is packed is no part of it.
      '^extension/(?!package[.]mjs$)',
      '^(shared|extension)/',
      'the extension talks to the local daemon only',
    ),
    only('daemon-without-extension', '^daemon/', '^(shared|daemon)/', 'the daemon does not know the editor'),
    {
      name: 'faces-on-top',
      severity: 'error',
      comment: 'Parts of the daemon do not know its faces; only the entry points compose them.',
      from: { path: '^daemon/(headless|mesh|team|home|core|gateway|process|lifecycle)/' },
      to: { path: '^daemon/(cli|tour)/|^daemon/[^/]+[.]ts$' },
    },
    {
      name: 'team-below-mesh',
      severity: 'error',
      comment: 'Who belongs together is known before, and without, the ways between them.',
      from: { path: '^daemon/team/' },
      to: { path: '^daemon/(mesh|gateway|core)/' },
    },
    {
      name: 'lifecycle-knows-no-network',
      severity: 'error',
      comment: 'An upgrade is decided on this machine; how its bundle came is for others to say.',
      from: { path: '^daemon/lifecycle/' },
      to: { path: '^daemon/(mesh|gateway|core|paths|lan|webrtc|headless)/' },
    },
    {
      name: 'process-knows-no-upgrade',
      severity: 'error',
      comment: 'Starting processes and noting what runs is below everything that decides about it.',
      from: { path: '^daemon/(process|home)/' },
      to: { path: '^daemon/(lifecycle|team|mesh|gateway|core|headless)/' },
    },
    oneDoor('semver', '(@types/)?semver', 'daemon/lifecycle/acceptance[.]ts'),
    oneDoor('tar-stream', 'tar-stream', 'daemon/lifecycle/(make|open)-bundle[.]ts'),
    {
      name: 'headless-has-no-network',
      severity: 'error',
      comment: 'The headless server outlives every daemon and knows only the home and the local socket.',
      from: { path: '^daemon/headless/' },
      to: { path: '^daemon/(mesh|team|core|gateway)/' },
    },
    {
      name: 'shared-does-no-io',
      severity: 'error',
      from: { path: '^shared/' },
      to: { dependencyTypes: ['core'] },
    },
    oneDoor('node-pty', 'node-pty|node_modules/@lydell/node-pty', 'daemon/headless/(node-)?pty([.]d)?[.]ts'),
    oneDoor('ws', 'ws/', 'daemon/mesh/websocket[.]ts'),
    oneDoor('simple-peer', '(@types/)?simple-peer', 'daemon/webrtc/rtc[.]ts'),
    oneDoor('wrtc', 'wrtc|node_modules/@roamhq/wrtc', 'daemon/webrtc/rtc[.]ts'),
    {
      name: 'native-webrtc-stays-in-its-process',
      severity: 'error',
      comment: 'A crash of the native part must not take the daemon along: only the helper loads it.',
      from: { path: '^daemon/', pathNot: '^daemon/webrtc/(main|helper|helper-connection)[.]ts$' },
      to: { path: '^daemon/webrtc/(rtc|helper|helper-connection)[.]ts$' },
    },
    {
      name: 'webrtc-knows-no-team',
      severity: 'error',
      comment: 'It makes connections; between whom, and who may have one, is for others to say.',
      from: { path: '^daemon/webrtc/' },
      to: { path: '^daemon/(mesh|team|paths|lan|gateway|core|headless)/' },
    },
    oneDoor('bonjour-service', '(bonjour-service|multicast-dns|dns-packet)', 'daemon/lan/mdns[.]ts'),
    {
      name: 'lan-knows-no-mesh',
      severity: 'error',
      comment: 'It finds machines and carries their signals; what becomes of them is for others to say.',
      from: { path: '^daemon/lan/' },
      to: { path: '^daemon/(mesh|webrtc|paths|gateway|core|headless)/' },
    },
    {
      name: 'mcp-knows-the-protocol-only',
      severity: 'error',
      comment: 'Its tools ask through a port; how machines are reached is for the command that runs it.',
      from: { path: '^daemon/mcp/' },
      to: { path: '^daemon/', pathNot: '^daemon/(mcp/|home/version[.]ts)' },
    },
    oneDoor('mcp-sdk', '@modelcontextprotocol', 'daemon/mcp/(server|tool|progress)[.]ts'),
    oneDoor('noise-handshake', 'noise-handshake', 'daemon/team/noise[.]ts'),
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
    },
  },
};
