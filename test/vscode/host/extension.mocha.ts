import assert from 'node:assert/strict';
import { after, before, describe, it } from 'mocha';
import * as vscode from 'vscode';
import { commandIds } from '../../../extension/command-ids.ts';
import { DaemonConnection } from '../../../extension/connection.ts';
import { daemonAddress } from '../../../extension/daemon-connection.ts';
import type { Log } from '../../../extension/log.ts';
import { MachinesTree } from '../../../extension/machines-tree.ts';
import { TeamModel } from '../../../extension/team-model.ts';
import { RemoteTerminal } from '../../../extension/terminal/remote-terminal.ts';
import type { TreeNode } from '../../../extension/tree-nodes.ts';

const log: Log = { debug: () => undefined, info: () => undefined, warn: console.log, error: console.log };

// biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences begin with one
const cursorMoves = /\x1b\[\d*[A-D]/g;

describe('the extension', () => {
  it('is active soon after the start, and has registered every command', async () => {
    const extension = vscode.extensions.getExtension('niia.niia');
    assert.ok(extension);
    await extension.activate();
    const known = new Set(await vscode.commands.getCommands(true));
    assert.deepEqual(
      commandIds.filter((id) => !known.has(id)),
      [],
    );
    assert.ok(known.has('niia.machines.focus'));
    assert.ok(known.has('niia.runs.focus'));
  });

  it('shows a failure of a command and does not throw it at the caller', async () => {
    await vscode.commands.executeCommand('niia.openTerminal', { machine: 'nobody' });
  });
});

describe('its parts, with a daemon behind them', () => {
  let connection: DaemonConnection;
  let model: TeamModel;
  let tree: MachinesTree;
  const leases: Array<{ dispose(): void }> = [];

  before(async () => {
    connection = new DaemonConnection(daemonAddress(''), log);
    model = new TeamModel(connection, log);
    tree = new MachinesTree(model);
    connection.start();
    leases.push(model.watchSessions());
    await model.known(AbortSignal.timeout(10_000));
  });
  after(() => {
    for (const one of [...leases, tree, model, connection]) one.dispose();
  });

  const until = async (condition: () => boolean): Promise<void> => {
    while (!condition()) {
      await new Promise<void>((resolve) => {
        const listening = model.onDidChange(() => {
          listening.dispose();
          resolve();
        });
      });
    }
  };
  const newSession = async (name: string, ...argv: string[]) => {
    const { session } = await connection.change('session.new', { name, argv });
    const machine = model.machines?.[0]?.id ?? '';
    await until(() => model.sessions(machine)?.some(({ id }) => id === session) ?? false);
    return { machine, session };
  };

  it('has a tree of machines and sessions, each row the same object for as long as it is there', async () => {
    const { session } = await newSession('rows', '/bin/cat');
    const [here] = tree.getChildren();
    assert.ok(here);
    const item = tree.getTreeItem(here);
    assert.equal(item.label, 'HOST');
    assert.match(String(item.description), /this machine/);
    assert.match(String(item.contextValue), /^machine;online;self;headless-running$/);
    assert.equal(item.collapsibleState, vscode.TreeItemCollapsibleState.Expanded);
    const row = (): TreeNode | undefined =>
      tree.getChildren(here).find((node) => node.kind === 'session' && node.session === session);
    const before = row();
    assert.ok(before);
    assert.equal(tree.getTreeItem(before).contextValue, 'session;live');
    assert.equal(tree.getParent(before), here);

    const redrawn: Array<TreeNode | undefined> = [];
    const listening = tree.onDidChangeTreeData((node) => redrawn.push(node));
    await connection.change('session.kill', { session });
    await until(() => {
      const node = row();
      return node !== undefined && tree.getTreeItem(node).contextValue === 'session;ended';
    });
    listening.dispose();
    assert.equal(row(), before);
    assert.ok(redrawn.every((node) => node === before || node === here));
  });

  it('offers to invite and to join where the team is one machine', () => {
    const offers = tree.getChildren().flatMap((node) => (node.kind === 'action' ? [node.command] : []));
    assert.deepEqual(offers, ['niia.invite', 'niia.join']);
  });

  function terminal(machine: string, session: string) {
    const pty = new RemoteTerminal({
      connected: (signal) => connection.whenConnected(signal),
      ...{ machine, machineName: 'HOST', session, sessionName: session, size: { cols: 80, rows: 24 } },
      ...{ hold: false, restored: false, log },
    });
    const seen = { text: '', sizes: [] as (vscode.TerminalDimensions | undefined)[], names: [] as string[] };
    const waiting = new Set<() => void>();
    const noting =
      <T>(note: (value: T) => void) =>
      (value: T): void => {
        note(value);
        for (const wake of waiting) wake();
      };
    pty.onDidWrite(noting((text) => (seen.text += text)));
    pty.onDidOverrideDimensions(noting((size) => seen.sizes.push(size)));
    pty.onDidChangeName(noting((name) => seen.names.push(name)));
    const closed = new Promise((resolve) => pty.onDidClose(resolve));
    const sees = async (condition: () => boolean): Promise<void> => {
      while (!condition()) await new Promise<void>((resolve) => waiting.add(resolve));
    };
    return { pty, seen, sees, closed };
  }

  it('shows a session in a terminal: output, input, names, the exit code', async () => {
    const { machine, session } = await newSession(
      'shown',
      '/bin/sh',
      '-c',
      'printf "\\033]0;titled\\007ready:"; read x; echo "got $x"; exit 3',
    );
    const { pty, seen, sees, closed } = terminal(machine, session);
    pty.open({ columns: 90, rows: 20 });
    pty.setDimensions({ columns: 90, rows: 20 });
    await sees(() => seen.text.includes('ready:'));
    await sees(() => seen.names.includes('shown — HOST · titled'));
    pty.handleInput('päckchen\r');
    assert.equal(await closed, 3);
    assert.ok(seen.text.includes('got päckchen'));
    pty.close();
  });

  it('is as small as the session where another viewer keeps that small, and lets the session live when it closes', async () => {
    const { machine, session } = await newSession('sized', '/bin/cat');
    const small = terminal(machine, session);
    small.pty.open({ columns: 40, rows: 10 });
    await small.sees(() => small.seen.text !== '');
    const large = terminal(machine, session);
    large.pty.open({ columns: 100, rows: 30 });
    await large.sees(() => large.seen.sizes.length > 0);
    assert.deepEqual(large.seen.sizes.at(-1), { columns: 40, rows: 10 });
    // Whoever types takes the size over.
    large.pty.handleInput('x');
    await large.sees(() => large.seen.sizes.at(-1) === undefined);
    small.pty.close();
    large.pty.close();
    await until(() => model.sessions(machine)?.find(({ id }) => id === session)?.viewers === 0);
    assert.notEqual(model.sessions(machine)?.find(({ id }) => id === session)?.state, 'exited');
  });

  it('shows a flood whole, or jumps to the latest picture and says what is missing: never silence', async () => {
    const lines = 2_000_000;
    const { machine, session } = await newSession(
      'flood',
      '/bin/sh',
      '-c',
      `stty -echo; read go; seq 1 ${lines}; read end`,
    );
    const { pty, seen, sees, closed } = terminal(machine, session);
    pty.open({ columns: 80, rows: 24 });
    await sees(() => seen.text.includes('\x1bc'));
    pty.handleInput('go\r');
    await sees(() => /\b2000000\r\n/.test(seen.text.slice(-50_000)));
    const [, ...pictures] = seen.text.split('\x1bc');
    // A picture made between a line's CR and its LF ends with the cursor put back to the line's start.
    const numbers = (text: string): number[] =>
      (text.replaceAll(cursorMoves, '').match(/^\d+(?=\r?\n)/gm) ?? []).map(Number);
    for (const [at, picture] of pictures.entries()) {
      if (at > 0) assert.match(picture, /^\S*\[[\d.]+ [kM]B of output not shown\]/);
      // Within one picture and what follows it no number is missing.
      const run = numbers(picture).slice(1);
      assert.ok(run.every((number, i) => i === 0 || number === (run[i - 1] ?? 0) + 1));
    }
    assert.equal(numbers(pictures.at(-1) ?? '').at(-1), lines);
    pty.handleInput('end\r');
    assert.equal(await closed, 0);
  });

  it('leaves nothing behind when it is disposed', async () => {
    const counts = (): Record<string, number> => {
      const found: Record<string, number> = {};
      for (const type of process.getActiveResourcesInfo()) found[type] = (found[type] ?? 0) + 1;
      return { pipes: found['PipeWrap'] ?? 0, watches: found['FSEventWrap'] ?? 0 };
    };
    const before = counts();
    const extra = new DaemonConnection(daemonAddress(''), log);
    const extraModel = new TeamModel(extra, log);
    const extraTree = new MachinesTree(extraModel);
    const lease = extraModel.watchSessions();
    extra.start();
    await extraModel.known(AbortSignal.timeout(10_000));
    assert.ok(counts()['pipes']! > before['pipes']!);
    const { peer } = extra;
    assert.ok(peer && peer.openCalls > 0);
    lease.dispose();
    // Nobody looks, nothing is asked for.
    assert.equal(peer.openCalls, 0);
    for (const one of [extraTree, extraModel, extra]) one.dispose();
    assert.ok(peer.closed);
    while (counts()['pipes']! > before['pipes']!) await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(counts(), before);
  });
});
