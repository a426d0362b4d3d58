/** The part of the editor's LogOutputChannel that is used where the editor is not known. */
export interface Log {
  debug(message: string): void;
  info(message: string): void;
  warn(message: string): void;
  error(message: string): void;
}
