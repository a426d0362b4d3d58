// The page of a run's graph: draws what the extension tells it (GraphView in extension/graph/graph-view.ts), and says
// which worker's terminal is wanted. What is drawn stays where it is; only what changed is written anew.

(() => {
  const host = acquireVsCodeApi();
  const svgNames = 'http://www.w3.org/2000/svg';
  const byId = (id) => document.getElementById(id);
  const rows = byId('table').querySelector('tbody');

  /** In a square of 16: told by their form as well, for those who do not see the colours. */
  const icons = {
    waiting: 'M8 2.5a5.5 5.5 0 1 0 0 11a5.5 5.5 0 1 0 0-11z',
    granted: 'M8 2.5a5.5 5.5 0 1 0 0 11a5.5 5.5 0 1 0 0-11zM6.7 5.6v4.8l4-2.4z',
    running: 'M13 8a5 5 0 1 1-1.6-3.7M13 2v3h-3',
    blocked: 'M8 2.5a5.5 5.5 0 1 0 0 11a5.5 5.5 0 1 0 0-11zM8 5v3.6M8 10.6v.4',
    lost: 'M3 6.5a7 7 0 0 1 10 0M5.2 9a4 4 0 0 1 5.6 0M8 12v.2M2.5 2.5l11 11',
    paused: 'M5.5 3.5v9M10.5 3.5v9',
    succeeded: 'M2.5 8.5l3.5 3.5l7.5-8',
    failed: 'M3.5 3.5l9 9M12.5 3.5l-9 9',
    cancelled: 'M8 2.5a5.5 5.5 0 1 0 0 11a5.5 5.5 0 1 0 0-11zM4.2 4.2l7.6 7.6',
  };

  let structure = '';
  let boxes = new Map();
  let frames = [];
  let edges = [];
  let cells = new Map();
  /** The states that were told last, by worker. */
  let states = new Map();

  function svg(name, attributes = {}, parent = undefined) {
    const made = document.createElementNS(svgNames, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    parent?.append(made);
    return made;
  }

  function attribute(element, name, value) {
    if (element.getAttribute(name) !== value) element.setAttribute(name, value);
  }

  function text(element, value) {
    if (element.textContent !== value) element.textContent = value;
  }

  function open(worker) {
    host.postMessage({ type: 'open', worker });
  }

  /** Draws everything anew: what there is, and where. */
  function build({ layout, workers }) {
    const graph = byId('graph');
    graph.replaceChildren();
    attribute(graph, 'width', String(layout.width));
    attribute(graph, 'height', String(layout.height));
    attribute(graph, 'viewBox', `0 0 ${layout.width} ${layout.height}`);
    const tip = svg('marker', {
      ...{ id: 'tip', viewBox: '0 0 8 8', refX: '7', refY: '4' },
      ...{ markerWidth: '8', markerHeight: '8', orient: 'auto' },
    });
    svg('path', { d: 'M0 0L8 4L0 8z' }, tip);
    svg('defs', {}, graph).append(tip);
    frames = layout.frames.map(({ phase, x, y, width, height }) => {
      const group = svg('g', { class: 'frame', 'aria-hidden': 'true' }, graph);
      svg('rect', { x, y, width, height, rx: 6 }, group);
      text(svg('text', { x: x + 14, y: y + 20 }, group), phase);
      return { phase, group };
    });
    edges = layout.edges.map(({ kind, after, of, path }) => {
      const line = svg('path', { d: path, 'marker-end': 'url(#tip)', 'aria-hidden': 'true' }, graph);
      return { kind, after, of, line };
    });
    boxes = new Map(layout.boxes.map((place) => [place.worker, box(place, graph)]));
    rows.replaceChildren();
    cells = new Map(workers.map((worker) => [worker.name, row(worker)]));
  }

  function box({ worker, x, y, width, height }, parent) {
    const group = svg('g', { tabindex: '0', role: 'button', transform: `translate(${x} ${y})` }, parent);
    svg('rect', { width, height, rx: 4 }, group);
    const icon = svg('path', { class: 'icon', transform: 'translate(8 8)' }, group);
    const lines = [
      svg('text', { class: 'name', x: 30, y: 20 }, group),
      svg('text', { class: 'state', x: 30, y: 36 }, group),
      svg('text', { class: 'facts', x: 10, y: 52 }, group),
    ];
    group.addEventListener('click', () => open(worker));
    group.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' && event.key !== ' ') return;
      event.preventDefault();
      open(worker);
    });
    return { group, icon, lines };
  }

  function row({ cells: values }) {
    const line = document.createElement('tr');
    const made = values.map((_, index) => {
      const cell = document.createElement(index === 0 ? 'th' : 'td');
      if (index === 0) cell.scope = 'row';
      line.append(cell);
      return cell;
    });
    rows.append(line);
    return { line, made };
  }

  /** Writes what is different into what is drawn. */
  function fill({ title, summary, state, phases, workers }) {
    text(byId('title'), title);
    text(byId('summary'), summary);
    attribute(byId('summary'), 'class', `state-${state}`);
    const phaseStates = new Map(phases.map((phase) => [phase.name, phase.state]));
    const workerStates = new Map(workers.map((worker) => [worker.name, worker.state]));
    for (const { phase, group } of frames) attribute(group, 'class', `frame state-${phaseStates.get(phase)}`);
    for (const { kind, after, line } of edges) {
      const from = kind === 'phase' ? phaseStates.get(after) : workerStates.get(after);
      attribute(line, 'class', `edge ${kind}${from === 'succeeded' ? ' done' : ''}`);
    }
    for (const worker of workers) {
      const { group, icon, lines } = boxes.get(worker.name);
      attribute(group, 'class', `box state-${worker.state}`);
      attribute(group, 'aria-label', worker.spoken);
      attribute(group, 'aria-disabled', String(!worker.hasTerminal));
      attribute(icon, 'd', icons[worker.state]);
      for (const [index, line] of lines.entries()) text(line, worker.lines[index]);
      const { line, made } = cells.get(worker.name);
      attribute(line, 'class', `state-${worker.state}`);
      for (const [index, cell] of made.entries()) text(cell, worker.cells[index]);
    }
  }

  /** Says what changed, to those who do not see it. */
  function tell({ workers }) {
    const news = workers.flatMap(({ name, state }) => {
      const before = states.get(name);
      return before === undefined || before === state ? [] : [`${name}: ${state}`];
    });
    states = new Map(workers.map(({ name, state }) => [name, state]));
    if (news.length > 0) text(byId('news'), news.join(', '));
  }

  window.addEventListener('message', ({ data }) => {
    if (data?.type !== 'run') return;
    const { view } = data;
    const now = JSON.stringify(view.layout);
    if (now !== structure) {
      structure = now;
      build(view);
    }
    fill(view);
    tell(view);
  });
  host.postMessage({ type: 'ready' });
})();
