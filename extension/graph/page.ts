import { tableHead } from './graph-view.ts';

export interface PageParts {
  /** Lets this one script run, and no other. */
  nonce: string;
  /** From where the editor serves the extension's files. */
  cspSource: string;
  script: string;
  style: string;
  title: string;
}

/** The page of a graph, empty: its script fills it with what it is told. Nothing comes from elsewhere. */
export function graphPage({ nonce, cspSource, script, style, title }: PageParts): string {
  const policy = `default-src 'none'; style-src ${cspSource}; script-src 'nonce-${nonce}'`;
  const head = tableHead.map((name) => `<th scope="col">${name}</th>`).join('');
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${escaped(policy)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="${escaped(style)}">
<title>${escaped(title)}</title>
</head>
<body>
<main>
<h1 id="title">${escaped(title)}</h1>
<p id="summary"></p>
<div id="picture"><svg id="graph" role="group" aria-label="Graph of the run; Enter opens a worker's terminal"></svg></div>
<table id="table"><caption>Workers</caption><thead><tr>${head}</tr></thead><tbody></tbody></table>
<p id="news" role="status" aria-live="polite"></p>
</main>
<script nonce="${escaped(nonce)}" src="${escaped(script)}"></script>
</body>
</html>
`;
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}
