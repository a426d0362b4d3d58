declare const NIIA_VERSION: string | undefined;
declare const NIIA_BUILD: string | undefined;

/** This build's version; esbuild puts package.json's in. */
export const version = typeof NIIA_VERSION === 'string' ? NIIA_VERSION : '0.0.0-source';

/** Tells builds of one version apart: a hash over the sources and the packages that went into it. */
export const build = typeof NIIA_BUILD === 'string' ? NIIA_BUILD : 'source';

/** `linux-x64` and the like. */
export const platform = `${process.platform}-${process.arch}`;
