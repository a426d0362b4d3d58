/** `linux-x64-glibc` and the like: what native parts are made for. `any`: a bundle without native parts. */
export const anyTarget = 'any';

/** What this process runs on. */
export function ownTarget(): string {
  return process.platform === 'linux'
    ? `linux-${process.arch}-${usesGlibc() ? 'glibc' : 'musl'}`
    : `${process.platform}-${process.arch}`;
}

/** `linux-x64` of `linux-x64-glibc`: how packages are named. Undefined where no packages are made for the target. */
export function packagePlatform(target: string): string | undefined {
  const [system = '', arch = '', libc] = target.split('-');
  return libc === 'musl' ? undefined : `${system}-${arch}`;
}

export function isTarget(text: string): boolean {
  return /^(linux-[a-z0-9]+-(glibc|musl)|(darwin|win32|freebsd)-[a-z0-9]+)$/.test(text);
}

/** Node tells the glibc that it runs with; with another C library there is none to tell. */
function usesGlibc(): boolean {
  const { report } = process;
  if (!report) return true;
  // The interfaces' names are no business of ours, and looking them up can take seconds.
  Object.assign(report, { excludeNetwork: true });
  const told: unknown = report.getReport();
  if (typeof told !== 'object' || told === null || !('header' in told)) return true;
  const { header } = told;
  return typeof header === 'object' && header !== null && 'glibcVersionRuntime' in header;
}
