/// <reference path="../../node_modules/node-pty/node-pty.d.ts" />

// The package is installed under node-pty's own name and declares its types under the name it is published by.
declare module 'node-pty' {
  export * from '@lydell/node-pty';
}
