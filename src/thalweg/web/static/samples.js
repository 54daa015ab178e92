// Samples: what the diagnostics say of each parameter, traces of its chains, its histogram.
"use strict";
T.samples = (host, id, params) => {
  const table = T.el("section", { class: "card" }, T.el("p", { class: "quiet" }, "reading …")), picture = T.el("div", { class: "grid" });
  host.append(table, picture);
  let gone = false, chart = null, name = params.get("parameter");
  const columns = [["name", "parameter"], ["mean", "mean"], ["sd", "standard deviation"], ["mcse_mean", "error of the mean"], ["ess", "effective draws"], ["ess_tail", "in the tails"], ["r_hat", "r hat"], ["exact_mean", "exact mean"], ["exact_sd", "exact deviation"], ["z", "z"]];
  T.ask("samples", { id }).then((found) => {
    if (gone) return;
    const some = columns.filter(([key]) => found.rows.some((r) => r[key] !== null && r[key] !== undefined));
    const wrong = (key, v) => (key === "r_hat" && v > 1.01) || ((key === "ess" || key === "ess_tail") && v !== null && v < 400);
    const cell = (r, key, i) => (i ? T.el("td", { class: wrong(key, r[key]) ? "bad" : "" }, T.number(key.startsWith("ess") ? Math.round(r[key]) : r[key], 5)) : T.el("td", { class: "text" }, T.button(r.name, () => choose(r.name))));
    const save = () => T.download(`${T.slug(id)}-parameters.csv`, T.csv(some.map(([, t]) => t), found.rows.map((r) => some.map(([key]) => r[key]))), "text/csv");
    const draw = () => {
      const head = T.el("thead", {}, T.el("tr", {}, some.map(([, text], i) => T.el("th", { scope: "col", class: i ? "" : "text" }, text))));
      const body = T.el("tbody", {}, found.rows.map((r) => T.el("tr", { "aria-selected": String(r.name === name) }, some.map(([key], i) => cell(r, key, i)))));
      table.replaceChildren(
        T.el("div", { class: "head" }, T.el("h2", {}, "Parameters"), T.button("CSV", save)),
        ...found.warnings.map((text) => T.el("p", { class: "failed" }, text)),
        T.el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Parameters, a table" }, T.el("table", {}, head, body)),
        found.of > found.rows.length ? T.el("p", { class: "quiet" }, `and ${T.number(found.of - found.rows.length)} more`) : "",
        T.el("p", { class: "quiet" }, "Red: chains that do not agree (r hat above 1.01), or fewer than 400 effective draws."),
        ...found.remarks.filter((text) => !text.startsWith("warning")).map((text) => T.el("p", { class: "quiet" }, text)));
    };
    const choose = (one) => { name = one; T.amend({ parameter: name }); draw(); show(); };
    if (!found.rows.some((r) => r.name === name)) name = found.rows[0]?.name;
    draw();
    if (name !== undefined) show();
  }).catch((error) => table.replaceChildren(T.failed(error)));
  const show = async () => {
    try {
      const found = await T.ask("parameter", { id, name });
      if (gone) return;
      chart?.close();
      chart = new T.Chart({ title: `${name}: chains`, xlabel: "draw", ylabel: name, log: false, name: () => T.slug(`${id}-${name}-trace`) });
      const e = found.edges, top = Math.max(...found.density, ...found.by_chain.flat());
      const frame = new T.Frame({ width: Math.min(560, Math.max(290, host.clientWidth / 2 - 60)), height: 300, x: [e[0], e[e.length - 1]], y: [0, 1.05 * top || 1], labels: [name, "density"], label: `Histogram of ${name}`,
        paint: (pen, to) => {
          const steps = (density) => density.flatMap((d, k) => [to(e[k], d), to(e[k + 1], d)]);
          pen.line([to(e[0], 0), ...steps(found.density), to(e[e.length - 1], 0)], { color: T.ink("quiet"), width: 0, fill: `${T.palette[0]}44` });
          found.by_chain.forEach((d, i) => pen.line(steps(d), { color: T.look(i).color, dash: T.look(i).dash, width: 1.2 }));
        } });
      const card = T.el("section", { class: "card" }, T.el("div", { class: "head" }, T.el("h2", {}, `${name}: marginal`), T.exports(() => frame, () => T.slug(`${id}-${name}`), () => [["from", "to", "density"], found.density.map((d, k) => [e[k], e[k + 1], d])])),
        T.el("div", { class: "frame" }, frame.canvas), T.el("p", { class: "quiet" }, `All chains are filled, a line each.${found.outside ? ` ${T.number(found.outside)} draws lie outside.` : ""}`));
      picture.replaceChildren(chart.root, card);
      chart.set(found.chains.map((c, i) => ({ name: `chain ${i + 1}`, ...T.look(i), x: c.x, y: c.y, of: found.draws, thin: true, alpha: 0.8 })));
      frame.draw();
    } catch (error) { picture.replaceChildren(T.failed(error)); }
  };
  return { close: () => { gone = true; chart?.close(); } };
};
