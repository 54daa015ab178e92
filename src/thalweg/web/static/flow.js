// A flow of a distribution as a film: the density, particles over it, the free energy beside.
"use strict";
T.flow = (host, id, params) => {
  const root = T.el("section", { class: "card" }, T.el("h2", {}, "The distribution"), T.el("p", { class: "quiet" }, "reading …"));
  host.append(root);
  let timer = null, gone = false, show = () => {}, keyed = () => {};
  T.ask("flow", { id }).then((film) => {
    if (gone) return;
    const last = film.time.length - 1, line = film.dimension === 1;
    let at = Math.min(Number(params.get("frame") ?? last), last), dots = true;
    if (!Number.isInteger(at) || at < 0) at = last;
    let picture = null, kept = params.get("frame") ?? String(last);
    const top = line ? film.high[1] : 0;
    const frame = new T.Frame({ width: Math.min(680, Math.max(290, root.clientWidth - 30)), height: line ? 340 : 460, x: [film.low[0], film.high[0]], y: [film.low[1], film.high[1]], equal: !line,
      labels: line ? ["x", "density"] : ["x₁", "x₂"], label: "The distribution at the time of the slider",
      paint: (pen, to, self) => {
        const [left, , w] = self.box;
        if (line) {
          const { edges, density } = film.curves[at];
          const points = [to(edges[0], 0)];
          density.forEach((d, k) => points.push(to(edges[k], d), to(edges[k + 1], d)));
          points.push(to(edges[edges.length - 1], 0));
          pen.line(points, { color: T.palette[0], fill: `${T.palette[0]}55`, width: 1.6 });
        } else {
          const [x0, y0] = to(film.low[0], film.low[1]), [x1, y1] = to(film.high[0], film.high[1]);
          pen.rect(left, self.top, w, self.box[3], `rgb(${T.viridis(0).join(",")})`);
          pen.image(picture, x0, y1, x1 - x0, y0 - y1, true);
        }
        if (dots && film.dots[at]) film.dots[at].forEach((p, k) => {
          const up = line ? (0.015 + 0.06 * ((k * 0.6180339887) % 1)) * top : p[1];
          pen.dot(...to(p[0], up), 2.1, "#ffffffcc", line ? "#d55e00" : "#00000066");
        });
      } });
    const words = T.el("output", { class: "quiet" });
    const slider = T.el("input", { type: "range", min: "0", max: String(last), step: "1", value: String(at), "aria-label": "time", oninput: () => { stop(); at = Number(slider.value); show(); } });
    const play = T.button("play", () => (timer ? stop() : start()), { title: "space" });
    const energy = T.el("div", {});
    const stop = () => { clearInterval(timer); timer = null; play.textContent = "play"; };
    const start = () => {
      if (at === last) at = 0;
      play.textContent = "stop";
      timer = setInterval(() => { if (at >= last) { stop(); return; } at += 1; slider.value = String(at); show(); }, 90);
    };
    const n = film.cells;
    show = () => {
      if (!line) picture = T.bitmap(T.bytes(film.pictures[at].bytes), n, n, (v) => [...T.viridis(v / 255), 255]);
      frame.draw();
      words.textContent = `time ${T.number(film.time[at], 5)}, step ${T.number(film.step[at])}, mean ${film.mean[at].map((m) => T.number(m, 4)).join(", ")}`;
      slider.setAttribute("aria-valuetext", words.textContent);
      frame.canvas.dataset.frame = String(at);
      if (String(at) !== kept) { T.amend({ frame: at === last ? "" : at }); kept = String(at); }
    };
    keyed = (event) => { if (event.key === " " && event.target.tagName !== "BUTTON" && event.target.tagName !== "INPUT") { play.click(); event.preventDefault(); } };
    const rows = () => (line ? [["time", "from", "to", "density"], film.time.flatMap((t, i) => film.curves[i].density.map((d, k) => [t, film.curves[i].edges[k], film.curves[i].edges[k + 1], d]))] : [["time", "mean x1", "mean x2"], film.time.map((t, i) => [t, film.mean[i][0], film.mean[i][1]])]);
    root.replaceChildren(T.el("div", { class: "head" }, T.el("h2", {}, "The distribution"), T.exports(() => frame, () => T.slug(`${id}-time-${film.time[at]}`), rows)),
      T.el("div", { class: "slider" }, play, slider), words, T.el("div", { class: "frame" }, frame.canvas),
      T.el("p", { class: "quiet" }, `${film.words}. ${line ? "The curve is the density" : "The colour is the density, yellow its largest at that time"}${film.smoothed ? ", of particles that of a smoothed histogram" : ""}.`),
      film.dots[0] ? T.check("particles", dots, (on) => { dots = on; show(); }) : "", energy);
    show();
  }).catch((error) => root.replaceChildren(T.el("h2", {}, "The distribution"), T.failed(error)));
  return { close: () => { gone = true; clearInterval(timer); }, key: (event) => keyed(event) };
};
