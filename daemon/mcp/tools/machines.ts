import { tool } from '../tool.ts';

export const listMachines = tool({
  name: 'list_machines',
  title: 'List machines',
  description:
    'The machines of the team: which are online, over which path and how fast, their version, and how many sessions live on each.',
  right: 'read',
  input: {},
  run: (_, { machines, signal }) => machines.query('machine.list', {}, { machine: undefined, signal }),
});
