import type { ServiceDefinition } from './definition.ts';
import { escapeXml } from './xml.ts';

/** The launchd agent (launchd.plist(5)); `logFile` gets what the daemon writes to standard error. */
export function launchdAgent({ name, command, environment }: ServiceDefinition, logFile: string): string {
  const variables = Object.entries(environment).flatMap(([key, value]) => [
    `    <key>${escapeXml(key)}</key>`,
    `    <string>${escapeXml(value)}</string>`,
  ]);
  const lines = [
    '<?xml version="1.0" encoding="UTF-8"?>',
    '<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">',
    '<plist version="1.0">',
    '<dict>',
    '  <key>Label</key>',
    `  <string>${escapeXml(name)}</string>`,
    '  <key>ProgramArguments</key>',
    '  <array>',
    ...command.map((word) => `    <string>${escapeXml(word)}</string>`),
    '  </array>',
    '  <key>EnvironmentVariables</key>',
    '  <dict>',
    ...variables,
    '  </dict>',
    '  <key>WorkingDirectory</key>',
    '  <string>/</string>',
    '  <key>RunAtLoad</key>',
    '  <true/>',
    // Started again when it fails, and not after niia down.
    '  <key>KeepAlive</key>',
    '  <dict>',
    '    <key>SuccessfulExit</key>',
    '    <false/>',
    '  </dict>',
    '  <key>ThrottleInterval</key>',
    '  <integer>5</integer>',
    // The headless server and its sessions live on when the daemon ends.
    '  <key>AbandonProcessGroup</key>',
    '  <true/>',
    '  <key>StandardErrorPath</key>',
    `  <string>${escapeXml(logFile)}</string>`,
    '</dict>',
    '</plist>',
  ];
  return `${lines.join('\n')}\n`;
}
