// A sweep on a map of two of its settings: a point each, or cells where they are many.
"use strict";
T.sweep = (host, id, params) => {
  const root = T.el("section", { class: "card" });
  host.append(root);
  let frame = null;
  const state = { across: params.get("across"), up: params.get("up") };
  const draw = async () => {
    try {
      const found = await T.ask("sweep", { id, across: state.across, up: state.up });
      show(found);
    } catch (error) { root.replaceChildren(T.el("h2", {}, "Final loss"), T.failed(error)); }
  };
  const show = (found) => {
    const cells = found.cells, points = found.points, losses = (cells ? cells.median : points.loss).filter((v) => v !== null);
    const positive = losses.length && losses.every((v) => v > 0);
    const low = Math.min(...losses), high = losses.slice().sort((a, b) => a - b)[Math.floor(0.95 * (losses.length - 1))];
    const share = (v) => (high > low ? Math.min(Math.max(positive ? Math.log(v / low) / Math.log(high / low) : (v - low) / (high - low), 0), 1) : 0.5);
    const color = (v) => `rgb(${T.viridis(1 - share(v)).join(",")})`;
    const xs = cells ? cells.x : points.x, ys = cells ? cells.y : points.y.filter((v) => v !== null);
    const ends = (v) => [Math.min(...v), Math.max(...v)];
    const axis = (v) => { const [a, b] = ends(v), log = a > 0 && b / a > 30; return { log, range: cells ? [a, b] : log ? [a / 1.2, b * 1.2] : [a - 0.05 * (b - a || 1), b + 0.05 * (b - a || 1)] }; };
    const X = axis(xs), Y = axis(ys);
    frame = new T.Frame({ width: Math.min(760, Math.max(300, root.clientWidth - 30)), height: 440, x: X.range, y: Y.range, logx: X.log, logy: Y.log,
      labels: [found.across.replaceAll("_", " "), found.up ? found.up.replaceAll("_", " ") : "final loss"], label: `Final loss over ${found.across}${found.up ? ` and ${found.up}` : ""}`,
      paint: (pen, to) => {
        if (cells) {
          const n = cells.count;
          for (let j = 0; j < n; j++) for (let i = 0; i < n; i++) {
            const k = j * n + i;
            if (!cells.settings[k]) continue;
            const [x0, y0] = to(cells.x[i], cells.y[j]), [x1, y1] = to(cells.x[i + 1], cells.y[j + 1]);
            pen.rect(x0, y1, x1 - x0 + 0.5, y0 - y1 + 0.5, cells.median[k] === null ? T.ink("line") : color(cells.median[k]));
          }
        } else points.x.forEach((x, k) => { const [px, py] = to(x, points.y[k] ?? Y.range[1]); if (points.loss[k] === null) pen.dot(px, py, 3.5, T.ink("card"), T.ink("bad")); else pen.dot(px, py, 4.5, found.up ? color(points.loss[k]) : T.palette[0]); });
        if (found.best && found.up) { const [px, py] = to(found.best[found.across], found.best[found.up]); pen.dot(px, py, 7, "transparent", T.ink("ink")); pen.dot(px, py, 2, T.ink("ink")); }
      } });
    const rows = () => (cells ? [["x from", "x to", "y from", "y to", "median final loss", "settings"], cells.median.map((v, k) => [cells.x[k % cells.count], cells.x[(k % cells.count) + 1], cells.y[Math.floor(k / cells.count)], cells.y[Math.floor(k / cells.count) + 1], v, cells.settings[k]]).filter((r) => r[5])] : [[found.across, found.up || "final loss", "final loss"], points.x.map((x, k) => [x, points.y[k], points.loss[k]])]);
    const again = (name) => (v) => { state[name] = v; T.amend({ across: state.across, up: state.up }); draw(); };
    root.replaceChildren(T.el("div", { class: "head" }, T.el("h2", {}, "Final loss"), T.exports(() => frame, () => T.slug(`${id}-map`), rows)),
      found.names.length > 2 && !T.kept ? T.el("div", { class: "tools" }, T.choose("across", found.names, found.across, again("across")), T.choose("up", found.names, found.up, again("up"))) : "",
      T.el("div", { class: "frame" }, frame.canvas),
      T.el("p", { class: "quiet" }, `${T.number(found.of)} settings${found.seeds > 1 ? `, ${found.seeds} seeds each` : ""}, ${T.number(found.lost)} of them diverged (${cells ? "grey" : "rings"}). The brighter, the lower the loss: from ${T.number(low, 4)} on${positive ? ", by its logarithm" : ""}.${cells ? " A cell has the median of what lies in it." : ""}`),
      found.best ? T.el("p", {}, "Best: ", T.settings(found.best), found.least !== null ? `, final loss ${T.number(found.least)}` : "") : "");
    frame.draw();
  };
  draw();
  return { close: () => {} };
};
