/** Modes that one flag chooses by their names. */
export function chosenBy(flag: string, modes: readonly string[]): Record<string, readonly string[]> {
  return Object.fromEntries(modes.map((mode) => [mode, [flag, mode]]));
}
