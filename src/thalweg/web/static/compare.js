// Several runs: their curves, bands over seeds, gradients to a tolerance, their places on the map of settings.
"use strict";
T.pages.compare = (host, params) => {
  const ids = params.getAll("run").length ? params.getAll("run") : T.kept ? T.kept.runs : [];
  let courses = null, gone = false;
  const state = T.state(params);
  state.tolerance = Number(params.get("tolerance")) || 1e-3;
  const keep = () => T.keep("compare", { run: T.kept && !params.getAll("run").length ? [] : ids, ...T.kept_state(state), tolerance: state.tolerance === 1e-3 ? "" : state.tolerance });
  host.append(T.el("h1", {}, "Compare"));
  if (!ids.length) {
    host.append(T.el("div", { class: "card empty" }, T.el("p", {}, "Nothing is selected. "), T.el("p", {}, T.el("a", { href: "#/runs" }, "Select some runs"), ", then compare them.")));
    return {};
  }
  const table = T.el("div", {}), place = T.el("div", {}), curves = T.el("div", {});
  host.append(curves, table, place);
  const about = {};
  Promise.all(ids.map((id) => T.ask("run", { id }).then((run) => { about[id] = run; }).catch((error) => { about[id] = { failed: error.message, metrics: [], against: [], about: {}, hyperparameters: {}, config: {} }; }))).then(() => {
    if (gone) return;
    const failed = ids.filter((id) => about[id].failed);
    if (failed.length) host.append(T.el("p", { class: "failed" }, failed.map((id) => `${id}: ${about[id].failed}`).join("; ")));
    const lines = ids.filter((id) => ["run", "recorded"].includes(about[id].kind));
    // Runs that differ in what was drawn alone are one group.
    const group = (run) => JSON.stringify([run.objective, run.method, run.hyperparameters]);
    const names = new Map();
    for (const id of lines) { const g = group(about[id]); if (!names.has(g)) names.set(g, []); names.get(g).push(id); }
    const words = T.differing(lines.map((id) => about[id]));
    for (const [, some] of names) for (const id of some) state.groups[id] = words(about[some[0]]);
    const seeds = [...names.values()].some((some) => some.length > 1);
    if (seeds) {
      if (params.get("bands") === null) state.bands = true;
      curves.append(T.el("div", { class: "tools" }, T.check("median and band over runs of equal settings", state.bands, (on) => { state.bands = on; T.keep("compare", { run: ids, ...T.kept_state(state), bands: on ? "1" : "0" }); courses.reload(); })));
    } else state.bands = false;
    if (lines.length) {
      courses = T.courses(lines, about, state, keep);
      curves.append(courses.root);
      summary(lines);
      where(lines);
    }
    differences(ids.filter((id) => !about[id].failed));
    for (const id of ids.filter((one) => !lines.includes(one) && !about[one].failed)) curves.append(T.el("p", {}, T.el("a", { href: T.address("run", { run: id }) }, id), ` is ${about[id].kind}, shown by itself`));
    host.append(T.python(`import thalweg as tw\n\nruns = tw.compare_runs(${JSON.stringify(lines.map((id) => about[id].python.match(/\((.*)\)/)[1].slice(1, -1)), null, 1)}, tolerance=${state.tolerance})\nprint(runs)\n`));
  });

  // Entries of the configurations that are not alike.
  const differences = (some) => {
    const flat = (tree, prefix = "") => Object.entries(tree).flatMap(([name, v]) => (v && typeof v === "object" && !Array.isArray(v) ? flat(v, `${prefix}${name}.`) : [[`${prefix}${name}`, Array.isArray(v) ? JSON.stringify(v) : v]]));
    const configs = some.map((id) => Object.fromEntries(flat(about[id].config))), short = T.shorten(some);
    const names = [...new Set(configs.flatMap(Object.keys))].filter((n) => !/digest|start\.loss|created/.test(n) && new Set(configs.map((c) => String(c[n]))).size > 1);
    if (some.length < 2 || !names.length) return;
    host.append(T.el("section", { class: "card" }, T.el("h2", {}, "What differs between configurations"), T.rows("Differences, a table", ["", ...some.map((id) => short[id])], names.map((n) => [n, ...configs.map((c) => c[n])]), 1)));
  };

  const summary = async (lines) => {
    const draw = async () => {
      try {
        const found = await T.ask("compare", { runs: lines.slice(0, 50), tolerance: state.tolerance });
        const rows = found.rows.sort((a, b) => b.reached - a.reached || a.gradients - b.gradients);
        const heads = ["run", "settings", "gradients to tolerance", "steps", "seconds", "best loss", "last loss", "regime", "status"];
        const cells = (r) => [r.name, T.settings(r.hyperparameters), `${r.reached ? "" : "> "}${T.number(r.gradients)}`, T.number(r.steps), T.number(r.seconds, 3), T.number(r.best), T.number(r.loss), r.regime || "–", r.status];
        const kinds = heads.map((_, i) => (i === 0 ? "text name" : i === 1 ? "text wrap" : i > 6 ? "text" : ""));
        const swatch = (r) => T.el("span", { class: "swatch", style: `border-color:${T.look(lines.indexOf(r.name)).color}` });
        const line = (r) => T.el("tr", {}, cells(r).map((c, i) => T.el("td", { class: kinds[i] }, i === 0 ? [swatch(r), c] : c)));
        const head = T.el("thead", {}, T.el("tr", {}, heads.map((h, i) => T.el("th", { scope: "col", class: kinds[i] ? "text" : "" }, h))));
        body.replaceChildren(
          T.el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Gradients to the tolerance, a table" }, T.el("table", {}, head, T.el("tbody", {}, rows.map(line)))),
          T.el("p", { class: "quiet" }, `The tolerance is on the ${rows[0]?.criterion || "loss"}, of what it was at the start.`),
          ...Object.entries(found.failed).map(([name, text]) => T.el("p", { class: "failed" }, `${name}: ${text}`)),
          T.button("CSV", () => T.download("comparison.csv", T.csv(heads, rows.map(cells)), "text/csv")));
      } catch (error) { body.replaceChildren(T.failed(error)); }
    };
    const box = T.el("input", { type: "number", value: state.tolerance, min: "0", step: "any", disabled: Boolean(T.kept), onchange: () => { const v = Number(box.value); if (v > 0) { state.tolerance = v; keep(); draw(); } } });
    const body = T.el("div", {});
    table.replaceChildren(T.el("section", { class: "card" }, T.el("h2", {}, "Gradients to a tolerance"), T.el("div", { class: "tools" }, T.el("label", { class: "field" }, T.el("span", {}, "tolerance, relative"), box)), body));
    await draw();
  };

  // A point a run, where runs have a learning rate and a momentum that differ.
  const where = (lines) => {
    const numbers = (id) => { const h = about[id].hyperparameters; return [h.learning_rate, h.momentum ?? h.beta1]; };
    const some = lines.filter((id) => numbers(id).every((v) => typeof v === "number" && Number.isFinite(v) && v >= 0) && numbers(id)[0] > 0);
    if (new Set(some.map((id) => numbers(id).join())).size < 2) return;
    const rates = some.map((id) => numbers(id)[0]), wide = Math.max(...rates) / Math.min(...rates) > 20;
    const room = wide ? [Math.min(...rates) / 1.5, Math.max(...rates) * 1.5] : [0, Math.max(...rates) * 1.15];
    const frame = new T.Frame({ width: Math.min(520, Math.max(300, host.clientWidth - 60)), height: 360, x: room, y: [-0.03, 1.03], logx: wide, labels: ["learning rate", "momentum"], label: "Each run at its learning rate and momentum",
      paint: (pen, to) => some.forEach((id) => { const [px, py] = to(...numbers(id)), bad = /diverged|not finite/.test(about[id].about.status); pen.dot(px, py, 5.5, bad ? T.ink("card") : T.look(lines.indexOf(id)).color, T.look(lines.indexOf(id)).color); }) });
    place.replaceChildren(T.el("section", { class: "card" }, T.el("div", { class: "head" }, T.el("h2", {}, "Learning rate and momentum"), T.exports(() => frame, () => "settings", () => [["run", "learning rate", "momentum", "status"], some.map((id) => [id, ...numbers(id), about[id].about.status])])),
      T.el("div", { class: "frame" }, frame.canvas), T.el("p", { class: "quiet" }, "A ring is a run that diverged.")));
    frame.draw();
  };
  return { close: () => { gone = true; courses?.close(); } };
};
// Words for a run by what sets it apart from the others.
T.differing = (runs) => {
  const names = [...new Set(runs.flatMap((r) => Object.keys(r.hyperparameters)))].filter((n) => new Set(runs.map((r) => r.hyperparameters[n])).size > 1);
  const methods = new Set(runs.map((r) => r.method)).size > 1, objectives = new Set(runs.map((r) => r.objective)).size > 1;
  return (run) => [objectives && run.objective, (methods || !names.length) && run.method, ...names.filter((n) => n in run.hyperparameters).map((n) => `${n.replaceAll("_", " ")} ${T.number(run.hyperparameters[n], 4)}`)].filter(Boolean).join(", ");
};
