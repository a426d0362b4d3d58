// Loaded only where a proxy is named. Imported by name here: a bundled `import()` of a CommonJS package has no names.
export { HttpsProxyAgent } from 'https-proxy-agent';
