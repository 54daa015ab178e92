// Curves over a common axis: uPlot has axes, zoom and cursor, the curves are drawn from arrays of their own.
"use strict";
(() => {
  const nearest = (xs, x) => {
    let low = 0, high = xs.length - 1;
    while (high - low > 1) { const middle = (low + high) >> 1; if (xs[middle] <= x) low = middle; else high = middle; }
    return Math.abs(xs[high] - x) < Math.abs(xs[low] - x) ? high : low;
  };

  T.Chart = class {
    constructor({ title, xlabel, ylabel, name, log = true, height = 300, onzoom = null, onlog = null }) {
      Object.assign(this, { title, xlabel, ylabel, name, log, height, onzoom, onlog, curves: [], bands: [], hidden: new Set(), marks: [] });
      this.span = null;
      this.host = T.el("div", { class: "chart", role: "img", "aria-label": `${ylabel} against ${xlabel}`, tabindex: "0",
        onkeydown: (event) => this.key(event) });
      this.host.chart = this;
      this.tip = T.el("div", { class: "tip" });
      this.legend = T.el("div", { class: "legend", role: "group", "aria-label": "Curves" });
      this.note = T.el("p", { class: "quiet note" });
      this.logButton = T.button("log", () => this.setLog(!this.log), { "aria-pressed": String(log), title: "logarithmic axis (l)" });
      this.back = T.button("whole", () => this.zoom(null), { hidden: true, title: "show the whole (0)" });
      this.root = T.el("section", { class: "card" },
        T.el("div", { class: "head" }, T.el("h2", {}, title),
          T.el("div", { class: "exports" }, this.back, this.logButton,
            T.button("PNG", () => this.png()), T.button("SVG", () => this.svg()), T.button("CSV", () => this.csv()))),
        this.host, this.legend, this.note);
      new ResizeObserver(() => this.fit()).observe(this.host);
    }

    set(curves, { bands = [], xlabel = this.xlabel, ylabel = this.ylabel, marks = [] } = {}) {
      const other = xlabel !== this.xlabel || ylabel !== this.ylabel;
      Object.assign(this, { curves, bands, xlabel, ylabel, marks });
      this.host.setAttribute("aria-label", `${ylabel} against ${xlabel}: ${curves.map((c) => c.name).join(", ")}`);
      this.names();
      this.tell();
      if (other || !this.u) this.make(); else this.redraw();
    }
    // New points at the end of a curve; a curve that gets too long is thinned, extremes kept.
    append(curve, x, y) {
      curve.x = curve.x.concat(x);
      curve.y = curve.y.concat(y);
      if (curve.x.length > 4000) {
        const stretches = 1000, width = Math.ceil(curve.x.length / stretches), kept = [];
        for (let begin = 0; begin < curve.x.length; begin += width) {
          let low = begin, high = begin;
          for (let k = begin; k < Math.min(begin + width, curve.x.length); k++) {
            if (curve.y[k] !== null && (curve.y[low] === null || curve.y[k] < curve.y[low])) low = k;
            if (curve.y[k] !== null && (curve.y[high] === null || curve.y[k] > curve.y[high])) high = k;
          }
          kept.push(...new Set([Math.min(low, high), Math.max(low, high)]));
        }
        if (kept[kept.length - 1] !== curve.x.length - 1) kept.push(curve.x.length - 1);
        curve.x = kept.map((k) => curve.x[k]);
        curve.y = kept.map((k) => curve.y[k]);
      }
    }
    shown() { return this.curves.filter((c) => !this.hidden.has(c.name) && c.x.length); }
    extent() {
      let x0 = Infinity, x1 = -Infinity, y0 = Infinity, y1 = -Infinity;
      const curves = this.shown();
      for (const c of curves) { x0 = Math.min(x0, c.x[0]); x1 = Math.max(x1, c.x[c.x.length - 1]); }
      if (!(x1 >= x0)) { x0 = 0; x1 = 1; }
      if (x1 === x0) { x0 -= 0.5; x1 += 0.5; }
      const within = this.span || [x0, x1];
      // Below this a number is rounding alone, or has no logarithm that a picture could show.
      const positive = this.log && curves.some((c) => c.y.some((v) => v > 1e-300));
      this.logNow = positive;
      const take = (x, y) => { if (y !== null && x >= within[0] && x <= within[1] && (!positive || y > 1e-300)) { if (y < y0) y0 = y; if (y > y1) y1 = y; } };
      for (const c of curves) for (let k = 0; k < c.x.length; k++) take(c.x[k], c.y[k]);
      for (const b of this.bands) for (let k = 0; k < b.x.length; k++) { take(b.x[k], b.low[k]); take(b.x[k], b.high[k]); }
      for (const m of this.marks) take(within[0], m.y);
      if (!(y1 >= y0)) { y0 = positive ? 0.1 : 0; y1 = 1; }
      if (positive) {
        if (y1 / y0 < 1.2) { y0 /= 1.1; y1 *= 1.1; }
        const pad = (y1 / y0) ** 0.04;
        return { x: within, y: [y0 / pad, y1 * pad] };
      }
      const pad = 0.05 * (y1 - y0) || Math.abs(y1) * 0.05 || 0.5;
      return { x: within, y: [y0 - pad, y1 + pad] };
    }
    make() {
      this.u?.destroy();
      this.host.replaceChildren(this.tip);
      const range = (this.ext = this.extent());
      const axis = (label, size) => ({
        stroke: T.ink("quiet"), label, labelSize: 22, size, font: "12px system-ui, sans-serif", labelFont: "12.5px system-ui, sans-serif",
        grid: { stroke: T.ink("line"), width: 1 }, ticks: { stroke: T.ink("line"), width: 1, size: 4 },
        values: (u, splits) => splits.map((v) => (v === null ? "" : T.number(v, 4))),
      });
      this.u = new uPlot({
        width: this.width(), height: this.height, legend: { show: false },
        scales: { x: { time: false, range: () => this.ext.x }, y: { distr: this.logNow ? 3 : 1, log: 10, range: () => this.ext.y } },
        axes: [axis(this.xlabel, 34), { ...axis(this.ylabel, 62), ...(this.logNow ? this.powers() : {}) }],
        series: [{}, { stroke: "transparent", points: { show: false } }],
        cursor: { drag: { x: true, y: false, setScale: false }, points: { show: false } },
        hooks: {
          draw: [(u) => this.paint(u)],
          setSelect: [(u) => {
            if (u.select.width > 4) {
              const a = u.posToVal(u.select.left, "x"), b = u.posToVal(u.select.left + u.select.width, "x");
              u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
              this.zoom([a, b]);
            }
          }],
          setCursor: [(u) => this.point(u)],
        },
      }, this.data(range), this.host);
      this.u.over.addEventListener("dblclick", () => this.zoom(null));
      this.u.over.addEventListener("mouseleave", () => { this.tip.style.display = "none"; });
    }
    data(range) { return [range.x, range.y]; }
    // uPlot's own ticks of a logarithmic axis never end where numbers are very small.
    powers() {
      const all = (u, splits) => splits;
      return { splits: (u, i, low, high) => T.ticks(low, high, Math.max(2, Math.floor(this.height / 45)), true), filter: all, grid: { stroke: T.ink("line"), width: 1, filter: all } };
    }
    width() { return Math.max(this.host.clientWidth || this.host.parentElement?.clientWidth || 600, 200); }
    fit() { if (this.u && Math.abs(this.u.width - this.width()) > 1) this.u.setSize({ width: this.width(), height: this.height }); }
    redraw() {
      const was = this.logNow;
      this.ext = this.extent();
      if (was !== this.logNow) this.make(); else this.u.setData(this.data(this.ext));
    }
    paint(u) {
      const c = u.ctx, ratio = uPlot.pxRatio, { left, top, width, height } = u.bbox;
      c.save();
      c.beginPath(); c.rect(left, top, width, height); c.clip();
      const X = (v) => u.valToPos(v, "x", true), Y = (v) => u.valToPos(v, "y", true);
      for (const m of this.marks) {
        c.strokeStyle = T.ink("quiet"); c.lineWidth = ratio; c.setLineDash([4 * ratio, 4 * ratio]);
        c.beginPath(); c.moveTo(left, Y(m.y)); c.lineTo(left + width, Y(m.y)); c.stroke();
      }
      for (const b of this.bands) {
        if (this.hidden.has(b.name)) continue;
        c.fillStyle = b.color; c.globalAlpha = 0.18; c.beginPath();
        const ok = b.x.map((x, k) => k).filter((k) => b.low[k] !== null && b.high[k] !== null && (!this.logNow || b.low[k] > 0));
        ok.forEach((k, i) => (i ? c.lineTo(X(b.x[k]), Y(b.high[k])) : c.moveTo(X(b.x[k]), Y(b.high[k]))));
        ok.reverse().forEach((k) => c.lineTo(X(b.x[k]), Y(b.low[k])));
        c.closePath(); c.fill(); c.globalAlpha = 1;
      }
      for (const curve of this.shown()) {
        c.strokeStyle = curve.color; c.lineWidth = (curve.thin ? 1 : 1.7) * ratio; c.globalAlpha = curve.alpha ?? 1;
        c.setLineDash((curve.dash || []).map((v) => v * ratio)); c.lineJoin = "round";
        c.beginPath();
        let down = false;
        for (let k = 0; k < curve.x.length; k++) {
          const y = curve.y[k];
          if (y === null || (this.logNow && !(y > 0))) { down = false; continue; }
          const px = X(curve.x[k]), py = Y(y);
          if (down) c.lineTo(px, py); else c.moveTo(px, py);
          down = true;
        }
        c.stroke();
        if (curve.x.length <= 40) {
          c.fillStyle = curve.color;
          for (let k = 0; k < curve.x.length; k++) {
            if (curve.y[k] === null || (this.logNow && !(curve.y[k] > 0))) continue;
            c.beginPath(); c.arc(X(curve.x[k]), Y(curve.y[k]), 2.6 * ratio, 0, 7); c.fill();
          }
        }
      }
      c.restore();
    }
    point(u) {
      const { left, top } = u.cursor;
      if (left === undefined || left < 0 || top < 0) { this.tip.style.display = "none"; return; }
      const x = u.posToVal(left, "x"), found = [];
      for (const c of this.shown()) {
        const k = nearest(c.x, x);
        if (c.y[k] !== null) found.push([Math.abs(u.valToPos(c.y[k], "y") - top), c, k]);
      }
      if (!found.length) return;
      found.sort((a, b) => a[0] - b[0]);
      this.tip.replaceChildren(...found.slice(0, 6).map(([, c, k]) => T.el("div", {},
        T.el("span", { class: "swatch", style: `border-color:${c.color}` }), `${c.name}: ${T.number(c.y[k], 7)} at ${T.number(c.x[k], 7)}`)));
      this.tip.style.display = "block";
      const right = left > u.over.clientWidth / 2;
      this.tip.style.left = right ? "" : `${u.over.offsetLeft + left + 14}px`;
      this.tip.style.right = right ? `${this.host.clientWidth - u.over.offsetLeft - left + 14}px` : "";
      this.tip.style.top = `${Math.max(top - 10, 0)}px`;
    }
    names() {
      const alone = this.curves.length <= 1;
      this.legend.hidden = alone && !this.curves[0]?.always;
      this.legend.replaceChildren(...this.curves.map((curve) => T.button([
        T.el("span", { class: "swatch", style: `border-color:${curve.color};border-top-style:${(curve.dash || []).length ? "dashed" : "solid"}` }), curve.label || curve.name],
        () => { if (this.hidden.has(curve.name)) this.hidden.delete(curve.name); else this.hidden.add(curve.name); this.names(); this.redraw(); },
        { "aria-pressed": String(!this.hidden.has(curve.name)) })));
    }
    tell() {
      const thinned = this.curves.filter((c) => c.of > c.x.length);
      const wrong = this.curves.filter((c) => c.error);
      const words = [];
      if (thinned.length) {
        const most = thinned.reduce((a, b) => (b.of > a.of ? b : a));
        words.push(`Drawn are ${T.number(most.x.length)} of ${T.number(most.of)} points of a curve, the least and the largest of every stretch among them${T.kept ? "" : "; a part that is marked with the mouse is read anew"}.`);
      }
      for (const c of wrong) words.push(`${c.name}: ${c.error}.`);
      this.note.textContent = words.join(" ");
    }
    setLog(log) { this.log = log; this.logButton.setAttribute("aria-pressed", String(log)); this.redraw(); this.make(); this.onlog?.(log); }
    zoom(span) {
      this.span = span;
      this.back.hidden = !span;
      this.redraw();
      this.onzoom?.(span);
    }
    key(event) {
      const [a, b] = this.ext.x, w = b - a;
      const moves = { ArrowLeft: [a - w / 4, b - w / 4], ArrowRight: [a + w / 4, b + w / 4], "+": [a + w / 4, b - w / 4], "=": [a + w / 4, b - w / 4], "-": [a - w / 2, b + w / 2], 0: null };
      if (event.key === "l") this.setLog(!this.log);
      else if (event.key in moves) this.zoom(moves[event.key]);
      else return;
      event.preventDefault();
    }
    png() {
      const from = this.u.ctx.canvas, made = T.el("canvas", { width: from.width, height: from.height }), c = made.getContext("2d");
      c.fillStyle = T.ink("card"); c.fillRect(0, 0, made.width, made.height); c.drawImage(from, 0, 0);
      made.toBlob((blob) => T.download(`${this.name()}.png`, blob));
    }
    svg() {
      const frame = new T.Frame({ width: 800, height: 460, x: this.ext.x, y: this.ext.y, logy: this.logNow, labels: [this.xlabel, this.ylabel],
        paint: (pen, to) => {
          for (const b of this.bands) pen.line([...b.x.map((x, k) => to(x, b.high[k])), ...b.x.map((x, k) => to(x, b.low[k])).reverse()], { color: b.color, width: 0, fill: b.color, alpha: 0.18 });
          this.shown().forEach((c, i) => {
            pen.line(c.x.map((x, k) => (c.y[k] === null || (this.logNow && !(c.y[k] > 0)) ? [NaN, NaN] : to(x, c.y[k]))), { color: c.color, dash: c.dash });
            if (i < 20) pen.text(790 - 30, 26 + 15 * i, c.label || c.name, { color: c.color, align: "right", size: 11 });
          });
        } });
      frame.svg(this.name());
    }
    csv() {
      const rows = this.shown().flatMap((c) => c.x.map((x, k) => [c.name, x, c.y[k]]));
      T.download(`${this.name()}.csv`, T.csv(["curve", this.xlabel, this.ylabel], rows), "text/csv");
    }
    close() { this.u?.destroy(); this.u = null; }
  };
})();
