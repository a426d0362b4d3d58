declare const NIIA_VERSION: string | undefined;

/** This build's version; esbuild puts package.json's in. */
export const version = typeof NIIA_VERSION === 'string' ? NIIA_VERSION : '0.0.0-source';
