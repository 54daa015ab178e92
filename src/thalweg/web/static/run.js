// Runs, one or several: their curves, live; one alone with its state, configuration and log.
"use strict";
T.axes = { step: "step", time: "physical time", gradients: "gradients", samples: "samples" };
T.words = (metric) => ({ loss: "loss", gradient_norm: "norm of the gradient", stability_margin: "stability margin", step_size: "step size", kinetic_energy: "kinetic energy" }[metric] || metric.replaceAll("_", " "));

// The curves of some runs, a chart a metric; `about` tells of each run.
T.courses = (ids, about, state, keep) => {
  const root = T.el("div", {}), charts = new Map();
  let gone = false, timer = null, cursors = new Map();
  const metrics = [...new Set(ids.flatMap((id) => about[id]?.metrics || []))];
  const axes = Object.keys(T.axes).filter((name) => ids.some((id) => about[id]?.against.includes(name)));
  if (!axes.includes(state.against)) state.against = "step";
  const first = ["loss", "gradient_norm", "stability_margin"].filter((m) => metrics.includes(m));
  if (!state.metrics.length) state.metrics = first.length ? first : metrics.slice(0, 2);
  state.metrics = state.metrics.filter((m) => metrics.includes(m));
  const points = Math.max(300, Math.min(4000, Math.floor(60000 / Math.max(ids.length, 1))));
  const short = T.shorten(ids);

  const bar = T.el("div", { class: "tools" },
    T.choose("against", axes.map((a) => [a, T.axes[a]]), state.against, (v) => { state.against = v; keep(); load(); }),
    T.el("fieldset", { class: "field", style: "border:0;padding:0;margin:0" }, T.el("legend", {}, "metrics"), T.el("div", { class: "tools", style: "margin:0" },
      metrics.map((m) => T.check(T.words(m), state.metrics.includes(m), (on) => { state.metrics = metrics.filter((one) => (one === m ? on : state.metrics.includes(one))); keep(); load(); })))));
  const grid = T.el("div", { class: "grid" });
  root.append(bar, grid);

  const wanted = (metric, more = () => ({})) => ids.filter((id) => about[id]?.metrics.includes(metric) && about[id].against.includes(state.against)).map((id) => ({ run: id, metric, against: state.against, ...more(id) }));
  const load = async () => {
    clearTimeout(timer);
    cursors = new Map();
    for (const [metric, chart] of charts) if (!state.metrics.includes(metric)) { chart.close(); chart.root.remove(); charts.delete(metric); }
    for (const metric of state.metrics) {
      if (charts.has(metric)) continue;
      const chart = new T.Chart({ title: T.words(metric), xlabel: T.axes[state.against], ylabel: T.words(metric), log: !state.linear.has(metric),
        name: () => T.slug(`${ids.length === 1 ? ids[0] : `${ids.length}-runs`}-${metric}`),
        onzoom: (span) => zoomed(metric, span), onlog: (log) => { if (log) state.linear.delete(metric); else state.linear.add(metric); keep(); } });
      charts.set(metric, chart);
    }
    grid.replaceChildren(...state.metrics.map((m) => charts.get(m).root));
    if (!metrics.length) grid.replaceChildren(T.el("p", { class: "quiet" }, "No metric was kept."));
    await Promise.all(state.metrics.map((m) => fill(m)));
    tick();
  };
  const fill = async (metric) => {
    const asked = wanted(metric), chart = charts.get(metric);
    try {
      const found = await T.curves(asked, points);
      const curves = asked.map((one, i) => ({ name: one.run, label: short[one.run], ...T.look(ids.indexOf(one.run)), x: found[i].x, y: found[i].y, of: found[i].of || 0, error: found[i].error }));
      asked.forEach((one, i) => cursors.set(`${metric} ${one.run}`, [found[i].generation, found[i].rows]));
      const grouped = state.bands ? T.bands(curves, state.groups) : { curves, bands: [] };
      chart.raw = curves;
      chart.set(grouped.curves, { bands: grouped.bands, xlabel: T.axes[state.against], marks: metric === "stability_margin" ? [{ y: 1 }] : [] });
    } catch (error) { chart.note.textContent = error.message; }
  };
  // A part is read anew, since of the whole only some points are here.
  const zoomed = async (metric, span) => {
    if (T.kept || state.against !== "step") return;
    const chart = charts.get(metric), asked = wanted(metric, () => (span ? { range: span } : {}));
    if (!chart.curves.some((c) => c.of > c.x.length) && span) return;
    const found = await T.curves(asked, points).catch(() => null);
    if (!found || chart.span !== span) return;
    asked.forEach((one, i) => {
      const curve = chart.raw.find((c) => c.name === one.run);
      if (curve && found[i].x) Object.assign(curve, { x: found[i].x, y: found[i].y, of: found[i].of });
    });
    chart.tell();
    chart.redraw();
  };
  const tick = async () => {
    if (T.kept || gone) return;
    // One question for all that still go on, of what is new alone.
    const running = ids.filter((id) => about[id]?.about.status === "running");
    if (running.length) {
      const asked = state.metrics.flatMap((m) => wanted(m).filter((one) => running.includes(one.run)).map((one) => ({ ...one, after: cursors.get(`${m} ${one.run}`) || null })));
      if (asked.length) {
        try {
          const fresh = asked.every((one) => one.after);
          const found = await T.curves(asked, fresh ? 4000 : points);
          const touched = new Set();
          asked.forEach((one, i) => {
            const answer = found[i], chart = charts.get(one.metric);
            if (!chart || answer.error) return;
            cursors.set(`${one.metric} ${one.run}`, [answer.generation, answer.rows]);
            const curve = chart.raw?.find((c) => c.name === one.run);
            if (!curve) return;
            if (answer.reset) { curve.x = answer.x; curve.y = answer.y; curve.of = answer.of; touched.add(one.metric); }
            else if (answer.x.length) { chart.append(curve, answer.x, answer.y); curve.of += answer.of; touched.add(one.metric); }
          });
          for (const metric of touched) {
            const chart = charts.get(metric);
            if (state.bands) { const g = T.bands(chart.raw, state.groups); chart.set(g.curves, { bands: g.bands }); } else { chart.tell(); chart.redraw(); }
          }
          T.live(running.length);
        } catch { T.live(null); }
      }
      if (Date.now() - (tick.last || 0) > 3000) { tick.last = Date.now(); for (const id of running.slice(0, 20)) refresh(id); }
    } else T.live(0);
    if (!gone) timer = setTimeout(tick, document.hidden ? 5000 : 1000);
  };
  const refresh = async (id) => {
    try { const found = await T.ask("run", { id }); about[id] = found; root.dispatchEvent(new CustomEvent("about", { detail: id })); } catch { /* it may be gone */ }
  };
  load();
  return { root, reload: load, close: () => { gone = true; clearTimeout(timer); for (const chart of charts.values()) chart.close(); } };
};

// Names without what all of them have in common at the beginning.
T.shorten = (ids) => {
  const parts = ids.map((id) => id.split("/"));
  let same = 0;
  while (ids.length > 1 && parts.every((p) => p.length > same + 1 && p[same] === parts[0][same])) same++;
  return Object.fromEntries(ids.map((id, i) => [id, parts[i].slice(same).join("/")]));
};

// Median and the band from the least to the largest of the runs of each group, at the steps of the first.
T.bands = (curves, groups) => {
  const found = { curves: [], bands: [] }, by = new Map();
  for (const c of curves) { const g = groups[c.name] ?? c.name; if (!by.has(g)) by.set(g, []); by.get(g).push(c); }
  [...by].forEach(([name, some], i) => {
    const look = T.look(i), full = some.filter((c) => c.x.length);
    if (!full.length) return;
    const x = full.reduce((a, b) => (b.x.length > a.x.length ? b : a)).x;
    const at = (c, v) => {
      if (v < c.x[0] || v > c.x[c.x.length - 1]) return null;
      let low = 0, high = c.x.length - 1;
      while (high - low > 1) { const m = (low + high) >> 1; if (c.x[m] <= v) low = m; else high = m; }
      if (c.x[high] <= v) low = high;
      if (low === high || c.y[low] === null || c.y[high] === null) return c.y[low];
      return c.y[low] + ((c.y[high] - c.y[low]) * (v - c.x[low])) / (c.x[high] - c.x[low]);
    };
    const columns = x.map((v) => full.map((c) => at(c, v)).filter((y) => y !== null).sort((a, b) => a - b));
    const label = full.length > 1 ? `${name} (${full.length} seeds)` : name;
    found.curves.push({ name, label, ...look, x, y: columns.map((s) => (s.length ? (s[(s.length - 1) >> 1] + s[s.length >> 1]) / 2 : null)), of: Math.max(...full.map((c) => c.of)), always: true });
    if (full.length > 1) found.bands.push({ name, ...look, x, low: columns.map((s) => s[0] ?? null), high: columns.map((s) => s[s.length - 1] ?? null) });
  });
  return found;
};

T.state = (params) => ({ against: params.get("against") || "step", metrics: params.getAll("metric"), linear: new Set(params.getAll("linear")), bands: params.get("bands") === "1", groups: {} });
T.kept_state = (state) => ({ against: state.against === "step" ? "" : state.against, metric: state.metrics, linear: [...state.linear], bands: state.bands ? "1" : "" });

T.facts = (pairs) => T.el("dl", { class: "facts" }, pairs.filter(([, v]) => v !== null && v !== undefined && v !== "").map(([name, v]) => T.el("div", {}, T.el("dt", {}, name), T.el("dd", {}, v instanceof Node ? v : T.number(v, 8)))));

// A table of words, so many of its columns at first, and numbers.
T.rows = (label, heads, rows, words) => T.el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, T.el("table", {},
  T.el("thead", {}, T.el("tr", {}, heads.map((h, i) => T.el("th", { scope: "col", class: i < words ? "text" : "" }, h)))),
  T.el("tbody", {}, rows.map((row) => T.el("tr", {}, row.map((c, i) => T.el("td", { class: i < words ? "text name" : "" }, T.number(c, 8))))))));

T.pages.run = (host, params) => {
  const id = params.get("run");
  let part = null, gone = false;
  const state = T.state(params);
  const keep = () => T.amend(T.kept_state(state));
  T.ask("run", { id }).then((run) => {
    if (gone) return;
    const about = { [id]: run }, facts = T.el("div", { class: "card" });
    const tell = () => {
      const run = about[id], a = run.about;
      facts.replaceChildren(T.facts([["status", T.status(a.status)], ["objective", run.objective], ["method", run.method], ...Object.entries(run.hyperparameters).map(([n, v]) => [n.replaceAll("_", " "), v]),
        ["steps", a.step], ["gradients", a.gradients], ["seconds", a.seconds], ["compiling, seconds", a.compile_seconds],
        ["least margin", a.least_margin ? `${T.number(a.least_margin[0], 4)} at step ${T.number(a.least_margin[1])}` : null],
        ["noise scale", a.noise_scale && a.noise_scale[0] !== null ? `${T.number(a.noise_scale[0], 4)} samples` : null]]),
        T.el("p", { class: /diverged|not finite|unbounded|interrupted/.test(a.status) ? "bad" : "quiet" }, a.message || ""));
    };
    tell();
    host.append(T.el("h1", {}, id), facts);
    const kind = run.kind;
    if (kind === "sweep") part = T.sweep(host, id, params);
    else if (kind === "samples") part = T.samples(host, id, params);
    else {
      if (run.measure) part = T.flow(host, id, params);
      const courses = T.courses([id], about, state, keep);
      courses.root.addEventListener("about", tell);
      host.append(courses.root);
      const film = part;
      part = { close: () => { film?.close(); courses.close(); }, key: film?.key };
    }
    const log = run.log.length ? [...new Set(run.log.flatMap((row) => Object.keys(row)))] : [];
    host.append(T.python(run.python),
      run.state.length ? T.el("details", {}, T.el("summary", {}, "state"), T.rows("The last state, a table", ["array", "shape", "type", "norm", "least", "largest"], run.state.map((a) => [a.name, a.shape.join(" × ") || "1", a.dtype, a.norm, a.least, a.largest]), 3)) : "",
      run.log.length ? T.el("details", {}, T.el("summary", {}, "log, its last rows"), T.rows("The last rows, a table", log, run.log.map((row) => log.map((name) => row[name])), 0)) : "",
      T.el("details", {}, T.el("summary", {}, "configuration"), T.el("pre", {}, JSON.stringify(run.config, null, 1))),
      run.environment ? T.el("details", {}, T.el("summary", {}, "machine and versions"), T.el("pre", {}, JSON.stringify(run.environment, null, 1))) : "");
  }).catch((error) => host.append(T.el("h1", {}, id || "Run"), T.failed(error)));
  return { close: () => { gone = true; part?.close?.(); }, key: (event) => part?.key?.(event) };
};
