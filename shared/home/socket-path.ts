/** What the place of a socket depends on. */
export interface SocketPlace {
  /** Absolute path of the machine's home. */
  home: string;
  platform: string;
  /** `XDG_RUNTIME_DIR`, where it is set. */
  runtimeDir: string | undefined;
  /** The system's folder for temporary files, for homes too deep for a socket where there is no runtime folder. */
  tmpDir: string;
  /** A short hash (hex) of the home's path: what keeps two homes apart outside of them. */
  homeHash: string;
}

/** Socket addresses are limited to 104 to 108 bytes, by platform. */
const longestHome = 100 - '/headless-0123456789ab.sock'.length;

/** Address of a machine's local socket `name`: in the home; a named pipe on Windows; elsewhere where the home's path is long. */
export function socketPath(place: SocketPlace, name: string): string {
  if (place.platform === 'win32') return `\\\\.\\pipe\\niia-${place.homeHash}-${name}`;
  if (Buffer.byteLength(place.home) <= longestHome) return `${place.home}/${name}.sock`;
  return `${place.runtimeDir ?? place.tmpDir}/niia-${place.homeHash}/${name}.sock`;
}
