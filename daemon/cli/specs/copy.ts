import { command } from '../spec.ts';

/** Commands that copy files. */
export const copySpecs = {
  cp: command({
    group: 'Other machines',
    summary: 'copy files and folders to or from a machine; goes on by itself after a break',
    args: [],
    words: 'SRC… DST',
    namesMachines: true,
    options: {},
    examples: [
      'niia remote cp notes.txt build-box:',
      'niia cp src build-box:work/',
      'niia cp build-box:/var/log/app.log .',
    ],
    notes: [
      'One side is M:PATH; a PATH there is from its home folder. ./a:b is a file here with a colon in its name.',
      'As with cp -r: into DST where that is a folder, else DST is what the copy is called; dir/., .. and M: mean what is in there.',
      'Modes and times are kept; folders that are there keep their own. Each file takes its place whole, checked by SHA-256; run again, a broken copy goes on.',
      'Links are copied as links where they stay within what is copied, and refused otherwise; pipes and devices are skipped.',
      'Of a file that grows meanwhile, as a log does, what it had at first is copied, with a warning.',
      'What could not be copied is named, the others are copied, and the exit code is 1.',
      'With --json one value on stdout, {"progress":…} lines on stderr.',
    ],
  }),
} as const;
