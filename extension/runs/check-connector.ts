import { basename, dirname } from 'node:path';
import { examineConnector } from '../../shared/connector/reader.ts';
import type { MissingInput } from '../../shared/connector/resolve.ts';
import type { Problem } from '../../shared/connector/source.ts';

// Loaded when a connector file is to be run, and not before: the reader is larger than most of this extension together.

export interface CheckedConnector {
  errors: Problem[];
  warnings: Problem[];
  /** Inputs that a run has to be given. */
  missing: MissingInput[];
  /** Why a right file cannot be run; undefined where it can. */
  notYet: string | undefined;
  /** Machines that may coordinate it; empty: whichever it is started on. */
  coordinators: string[];
}

/** What can be said of a file before its inputs are given: that they are missing is no error of the file. */
export function checkConnector(text: string, path: string): CheckedConnector {
  const options = { file: basename(path), folder: dirname(path) };
  const { missingInputs: missing } = examineConnector(text, options);
  const inputs = Object.fromEntries(missing.map(({ name }) => [name, '']));
  const { definition, errors, warnings, notYet } = examineConnector(text, { ...options, inputs });
  return { errors, warnings, missing, notYet, coordinators: definition?.coordinators ?? [] };
}
