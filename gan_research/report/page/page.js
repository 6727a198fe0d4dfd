"use strict";
(() => {
  const root = document.documentElement;
  const by = (id) => document.getElementById(id);
  const state = { axis: null, logarithmic: null, hidden: new Set(), round: null, runs: {} }; // null: the page's default
  const plots = new Map(); // figure id -> its element
  let page = null;
  let images = {};
  const pending = new Set(); // ids of the figures to draw
  let drawing = 0;
  const axisOf = () => state.axis ?? page.axis;
  const isLogarithmic = (figure) => figure.logarithmic && (state.logarithmic ?? page.logarithmic);

  // Elements. All text becomes text nodes: nothing is ever parsed as HTML.
  function el(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) {
      if (value === undefined || value === null || value === false) continue;
      if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else node.setAttribute(key, value === true ? "" : value);
    }
    node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
    return node;
  }

  async function unpacked(text) {
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  }

  // Colours
  const probe = el("span", { hidden: true });
  document.body.append(probe);
  function colour(name) {
    if (!name.startsWith("@")) return name;
    const [variable, opacity] = name.slice(1).split("/");
    probe.style.color = `var(--${variable})`;
    const found = getComputedStyle(probe).color;
    return opacity ? found.replace("rgb(", "rgba(").replace(")", `, ${opacity})`) : found;
  }
  const COLOURED = new Set(["color", "fillcolor", "bgcolor"]);
  function coloured(node) {
    if (Array.isArray(node)) return node.map(coloured);
    if (node === null || typeof node !== "object") return node;
    const copy = {};
    for (const [key, value] of Object.entries(node)) {
      if (key === "colorscale") copy[key] = value.map(([at, name]) => [at, colour(name)]);
      else copy[key] = COLOURED.has(key) && typeof value === "string" ? colour(value) : coloured(value);
    }
    return copy;
  }

  // Theme
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  function setTheme(theme) {
    if (theme) root.dataset.theme = theme;
    root.style.colorScheme = theme || "light dark";
    by("theme").replaceChildren(isDark() ? "☀" : "☾", el("span", {}, isDark() ? " light" : " dark"));
  }
  by("theme").addEventListener("click", () => {
    const theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("gan-theme", theme); } catch { /* not stored */ }
    setTheme(theme);
    drawAll();
  });
  dark.addEventListener("change", () => { setTheme(root.dataset.theme); drawAll(); });

  // Figures
  const array = (value) => (typeof value === "number" ? page.arrays[value] : value);
  const along = (value) => (value && typeof value === "object" && !Array.isArray(value) ? array(value[axisOf()]) ?? [] : value);

  function ends(data) {
    let [low, high] = [Infinity, -Infinity];
    for (const y of data.flatMap((trace) => trace.y)) {
      if (y !== null) [low, high] = [Math.min(low, y), Math.max(high, y)];
    }
    return [low, high];
  }

  function traces(figure) {
    const shown = figure.data.filter((trace) => !state.hidden.has(trace.group));
    const data = shown.map((trace) => ({ ...coloured(trace), x: along(trace.x), y: along(trace.y) }));
    if (isLogarithmic(figure)) {
      const [lowest] = ends(data.filter((trace) => !trace.band));
      for (const trace of data.filter((t) => t.band)) {
        trace.y = trace.y.map((y) => (y === null ? null : Math.max(y, lowest / 2)));
      }
    }
    return data.map(({ group, band, ...trace }) => ({ ...trace, showlegend: false }));
  }

  function layout(figure, data) {
    const own = coloured(figure.layout);
    const ink = colour("@ink"), line = colour("@line");
    const axis = { gridcolor: line, linecolor: line, zerolinecolor: line, tickcolor: line, automargin: true };
    const all = {
      ...own,
      autosize: true,
      uirevision: `${axisOf()} ${isLogarithmic(figure)}`, // the zoom is kept until these change
      showlegend: false,
      margin: { l: 54, r: 16, t: 12, b: 44, ...own.margin },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(root).fontFamily, size: 12, color: ink },
      hoverlabel: { bgcolor: colour("@panel"), bordercolor: colour("@muted"), font: { color: ink } },
      xaxis: { ...axis, ...own.xaxis },
      yaxis: { ...axis, ...own.yaxis },
    };
    if (figure.over) {
      all.xaxis.title = { text: page.axes.find((one) => one.key === axisOf()).title };
      if (!data.some((trace) => trace.x.length)) {
        const text = `no data over ${axisOf()}`;
        all.annotations = [{ text, xref: "paper", yref: "paper", x: 0.5, y: 0.5, showarrow: false }];
      }
    }
    const [low, high] = ends(data.filter((trace) => trace.fill !== "toself"));
    if (isLogarithmic(figure)) { // few ticks, so that Plotly labels 1, 2 and 5, or powers of ten; each with its whole number
      all.yaxis = { ...all.yaxis, type: "log", nticks: high / low > 8 ? 3 : 6, tickformat: ",~r", minor: { ticks: "outside", dtick: "D1" } };
    } else if (figure.over && low < high) { // bands of two seeds are so wide that the lines would look flat
      const room = 0.6 * (high - low);
      all.yaxis.autorangeoptions = { clipmin: low - room, clipmax: high + room };
    }
    return all;
  }

  async function draw(figure) {
    const data = traces(figure);
    const settings = { responsive: true, displayModeBar: false }; // its bar would cover the data
    await Plotly.react(plots.get(figure.id), data, layout(figure, data), settings);
  }

  // Saves a figure as SVG: on white, with a legend of its lines.
  async function save(figure, width) {
    const theme = root.style.colorScheme;
    root.style.colorScheme = "light";
    const data = traces(figure).map((trace) => ({ ...trace, showlegend: trace.mode === "lines+markers" }));
    const own = layout(figure, data);
    root.style.colorScheme = theme;
    const all = { ...own, showlegend: data.some((trace) => trace.showlegend), paper_bgcolor: "#fff", font: { ...own.font, family: "Helvetica, Arial, sans-serif" } };
    const url = await Plotly.toImage({ data, layout: all }, { format: "svg", width: Math.max(width, 480), height: figure.layout.height });
    el("a", { href: url, download: `${figure.id.replace(/[^\w.-]+/g, "_")}.svg` }).click();
  }

  const allFigures = () => page.sections.flatMap((s) => s.blocks.filter((b) => b.kind === "figures").flatMap((b) => b.figures));

  // Draws one figure after the other and yields to the browser in between; a newer call continues an older one.
  async function drawAll(which = () => true) {
    const mine = ++drawing;
    delete root.dataset.drawn;
    for (const { id } of allFigures().filter(which)) pending.add(id);
    for (const figure of allFigures()) {
      if (mine !== drawing) return;
      if (!pending.delete(figure.id)) continue;
      await draw(figure);
      await new Promise((resolve) => setTimeout(resolve));
    }
    if (mine === drawing) root.dataset.drawn = String(plots.size);
  }

  // Legend
  const DASHES = { solid: "", dash: "7 4", dot: "2 3", dashdot: "7 3 2 3", longdash: "11 4", longdashdot: "11 3 2 3" };
  const SHAPES = {
    circle: "M13 7a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z",
    square: "M13.5 3.5h7v7h-7z",
    diamond: "M17 2l5 5l-5 5l-5 -5z",
    "triangle-up": "M17 2.5l4.6 8h-9.2z",
    "triangle-down": "M17 11.5l4.6 -8h-9.2z",
    cross: "M15.4 2.5h3.2v2.9h2.9v3.2h-2.9v2.9h-3.2v-2.9h-2.9v-3.2h2.9z",
    star: "M17 1.8l1.5 3.6l3.9 .3l-3 2.5l1 3.8l-3.4 -2.1l-3.4 2.1l1 -3.8l-3 -2.5l3.9 -.3z",
  };
  function swatch(group) {
    const { colour: name, dash, marker } = page.groups[group];
    const make = (tag, attributes) => {
      const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
      for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
      return node;
    };
    const paint = `var(--${name.slice(1)})`;
    const svg = make("svg", { class: "swatch", viewBox: "0 0 34 14", "aria-hidden": "true" });
    const dashes = DASHES[dash] ?? dash.replaceAll("px", "").replaceAll(",", " ");
    svg.append(
      make("path", { d: "M1 7H33", "stroke-width": 2, "stroke-dasharray": dashes, style: `stroke:${paint}` }),
      make("path", { d: SHAPES[marker], style: `fill:${paint}` }),
    );
    return svg;
  }
  function legend() {
    return page.groups.map((group, i) => el("button", {
      type: "button",
      id: `group-${i}`,
      title: group.name,
      "aria-pressed": String(!state.hidden.has(i)),
      onclick: (event) => {
        if (!state.hidden.delete(i)) state.hidden.add(i);
        event.currentTarget.setAttribute("aria-pressed", String(!state.hidden.has(i)));
        drawAll();
      },
    }, swatch(i), el("span", {}, group.name)));
  }

  function axes() {
    const choices = page.axes.map(({ key, name }) => el("label", {}, name, el("input", {
      type: "radio",
      name: "axis",
      id: `axis-${key}`,
      value: key,
      checked: key === axisOf(),
      onchange: () => { state.axis = key; drawAll((figure) => figure.over); },
    })));
    return el("span", { class: "choices" }, ...choices);
  }
  by("logarithmic").addEventListener("change", (event) => {
    state.logarithmic = event.target.checked;
    drawAll((figure) => figure.logarithmic);
  });

  // Blocks
  async function copy(event, text) {
    const button = event.currentTarget;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = el("textarea", { "aria-hidden": "true" });
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
      button.focus();
    }
    button.textContent = "copied";
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  }
  const command = (text) => [
    el("code", {}, text),
    el("button", { type: "button", "aria-label": `copy: ${text.slice(0, 80)}`, onclick: (event) => copy(event, text) }, "copy"),
  ];

  const MARKS = { finished: "✓", running: "▸", stopped: "■", failed: "✕" };
  function inside(cell) {
    if (typeof cell === "string") return [cell];
    if (cell.copy) return cell.text ? [el("div", { class: "command" }, ...command(cell.text))] : ["–"];
    if (cell.state) {
      const reason = cell.reason ? el("span", { class: "reason" }, cell.reason) : null;
      return [el("span", { class: `state ${cell.state}` }, `${MARKS[cell.state] ?? ""} ${cell.text}`), reason];
    }
    if (cell.group !== undefined) return [el("span", { class: "of" }, swatch(cell.group), el("span", {}, cell.text))];
    return [
      cell.mark ? el("span", { class: `tag ${cell.mark.replaceAll(" ", "-")}` }, cell.mark) : null,
      cell.code ? el("code", {}, cell.text) : cell.text,
      cell.below ? el("span", { class: "below" }, cell.below) : null,
    ];
  }
  function table(block, title) {
    const number = (i) => (block.numeric.includes(i) ? "number" : undefined);
    const head = block.columns.map((name, i) => el("th", { scope: "col", class: number(i) }, name));
    const rows = block.rows.map((row) => {
      if (row[0].heading) return el("tr", {}, el("th", { scope: "rowgroup", colspan: block.columns.length }, row[0].text));
      return el("tr", {}, ...row.map((cell, i) => (i === 0
        ? el("th", { scope: "row" }, ...inside(cell))
        : el("td", { class: [number(i), cell.mark === "best" && "best", cell.warned && "warned", cell.words && "words"].filter(Boolean).join(" ") || null }, ...inside(cell)))));
    });
    const caption = block.caption ? el("caption", {}, block.caption) : null;
    const all = el("table", {}, caption, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows));
    return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": title }, all);
  }

  function panel(figure) {
    const known = plots.get(figure.id);
    const plot = known ?? el("div", { class: "drawing", role: "img" });
    plot.setAttribute("aria-label", figure.alt);
    plot.style.height = `${figure.layout.height}px`;
    plot.dataset.figure = figure.id;
    plots.set(figure.id, plot);
    plot.style.minWidth = figure.least ? `${figure.least}px` : "";
    const around = figure.least ? el("div", { class: "wide", tabindex: 0, role: "region", "aria-label": figure.title }, plot) : plot;
    const button = el("button", {
      type: "button",
      class: "save",
      "aria-label": `save as SVG: ${figure.title}`,
      onclick: () => save(allFigures().find(({ id }) => id === figure.id), plot.clientWidth),
    }, "SVG");
    return el("figure", {}, el("div", { class: "heading" }, el("h3", {}, figure.title), button), around);
  }

  const CELLS = 4; // the number of a grid's cells that are shown in a row; all are shown when it is enlarged
  const sharpen = ({ target }) => target.classList.toggle("small", target.naturalWidth < 2 * target.width);
  function enlarge(address, alt, caption) {
    const dialog = el("dialog", { "aria-label": alt, onclick: () => dialog.close(), onclose: () => dialog.remove() },
      el("figure", {},
        el("figcaption", {}, caption, el("button", { type: "button" }, "close")),
        el("img", { alt, src: address, onload: sharpen })));
    document.body.append(dialog);
    dialog.showModal();
  }
  function facts(block) {
    return el("dl", { class: "facts" }, ...block.facts.map(({ label, text, below, mark }) => el("div", {},
      el("dt", {}, label),
      el("dd", {}, mark ? el("span", { class: `tag ${mark}` }, mark) : null, text, below ? el("span", { class: "below" }, below) : null))));
  }

  function samples(block) {
    const last = block.rounds.length - 1;
    let position = state.round === null ? last : block.rounds.findLastIndex((round) => round <= state.round);
    position = Math.max(position, 0);
    const columns = el("div", { class: "columns" });
    const output = el("output", { for: "round" });
    const show = () => {
      const round = block.rounds[position];
      output.textContent = `round ${round.toLocaleString("en")}`;
      slider.setAttribute("aria-valuetext", output.textContent);
      columns.replaceChildren(...block.columns.map((column, i) => sampleGrid(column, i, round)));
    };
    const sampleGrid = (column, i, round) => {
      const chosen = Math.min(state.runs[column.name] ?? 0, column.runs.length - 1);
      const address = images[`${i}/${chosen}/${round}`];
      const alt = `samples of ${column.name}, ${column.runs[chosen]}, at round ${round}`;
      const caption = `${column.name}, ${column.runs[chosen]}, round ${round.toLocaleString("en")}`;
      const grid = address
        ? el("button", { type: "button", class: "cells", "aria-label": `enlarge ${alt}`, onclick: () => enlarge(address, alt, caption) }, el("img", {
          alt,
          src: address,
          style: column.cells > CELLS ? `width: ${(100 * column.cells) / CELLS}%; height: auto` : null, // the first cells only
          onload: sharpen,
        }))
        : el("div", { class: "none" }, `no samples at round ${round.toLocaleString("en")}`);
      const options = column.runs.map((name, n) => el("option", { value: n, selected: n === chosen }, name));
      const choose = (event) => { state.runs[column.name] = Number(event.target.value); show(); by(`run-${i}`)?.focus(); };
      const which = options.length > 1
        ? el("select", { id: `run-${i}`, "aria-label": `run of ${column.name}`, onchange: choose }, ...options)
        : el("span", { class: "below" }, column.runs[0]);
      return el("figure", {}, el("figcaption", {}, el("span", { class: "of" }, swatch(column.group), el("span", {}, column.name)), which), grid);
    };
    const slider = el("input", { type: "range", id: "round", min: 0, max: last, step: 1, value: position, disabled: last === 0 });
    slider.addEventListener("input", () => {
      position = Number(slider.value);
      state.round = position === last ? null : block.rounds[position]; // the last round stays selected as runs continue
      show();
    });
    show();
    return el("div", {}, el("div", { class: "slider" }, el("label", { for: "round" }, "Round"), slider, output), columns);
  }

  const BLOCKS = {
    table,
    facts,
    figures: (block) => el("div", { class: "figures", style: `--columns: ${block.columns}` }, ...block.figures.map(panel)),
    command: (block) => el("div", { class: "card command" }, el("span", { class: "label" }, block.label), ...command(block.text)),
    images: samples,
  };

  function render() {
    const focused = document.activeElement?.id;
    document.title = by("title").textContent = page.title;
    by("summary").textContent = page.summary;
    by("notes").replaceChildren(...page.notes.map((text) => el("li", {}, text)));
    by("contents").replaceChildren(...page.sections.map(({ id, title }) => el("a", { href: `#${id}` }, title)));
    by("controls").hidden = page.sections.length === 0;
    by("logarithmic").checked = state.logarithmic ?? page.logarithmic;
    by("axes").querySelector(".choices")?.remove();
    by("axes").append(axes());
    by("legend").replaceChildren(...legend());
    const wanted = new Set(allFigures().map((figure) => figure.id));
    for (const id of [...plots.keys()].filter((key) => !wanted.has(key))) {
      Plotly.purge(plots.get(id));
      plots.delete(id);
    }
    by("main").replaceChildren(...page.sections.map(({ id, title, lead, blocks }) => el(
      "section", { id, "aria-labelledby": `${id}-title` },
      el("h2", { id: `${id}-title` }, title),
      el("p", { class: "lead" }, lead),
      ...blocks.map((block) => BLOCKS[block.kind](block, title)),
    )));
    if (focused) by(focused)?.focus({ preventScroll: true });
    return drawAll();
  }

  // Live: fetch newer content and keep the reader's choices.
  async function follow(version) {
    const status = by("status");
    status.hidden = false;
    const report = (text, lost) => { status.textContent = text; status.classList.toggle("lost", lost); };
    report("live: updates as the runs are trained", false);
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, 2000));
      if (document.hidden) continue;
      try {
        const answer = await fetch(`data?version=${encodeURIComponent(version)}`, { cache: "no-store" });
        if (!answer.ok) throw new Error(answer.status);
        if (answer.status === 200) {
          const news = await answer.json();
          version = news.version;
          page = news.document;
          images = news.images;
          await render();
        }
        report("live: updates as the runs are trained", false);
      } catch {
        report("gan watch doesn't answer: start it again", true);
        await new Promise((resolve) => setTimeout(resolve, 8000));
      }
    }
  }

  // The height of the controls, below which a heading is shown after a jump.
  new ResizeObserver(() => root.style.setProperty("--controls", `${by("controls").offsetHeight}px`)).observe(by("controls"));

  async function begin() {
    let kept = null;
    try { kept = localStorage.getItem("gan-theme"); } catch { /* nothing stored */ }
    setTheme(kept === "light" || kept === "dark" ? kept : undefined);
    if (!("DecompressionStream" in window)) {
      by("main").textContent = "This page needs a newer browser (with DecompressionStream).";
      return;
    }
    const library = document.createElement("script");
    library.textContent = await unpacked(by("library").textContent);
    document.head.append(library);
    images = JSON.parse(by("images").textContent);
    page = JSON.parse(await unpacked(JSON.parse(by("document").textContent)));
    await render();
    if (location.hash) by(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
    if (root.dataset.live) await follow(root.dataset.live);
  }
  begin();
})();
