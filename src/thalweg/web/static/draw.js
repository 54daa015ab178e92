// Pictures in a plane, drawn on a canvas or written as SVG by the same calls.
"use strict";
(() => {
  const nice = (low, high, count) => {
    const span = high - low || 1, rough = span / Math.max(count, 1), power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((k) => k * power).find((k) => k >= rough);
    const found = [];
    for (let k = Math.ceil(low / step); k * step <= high + 1e-9 * span; k++) found.push(Number((k * step).toPrecision(12)));
    return found;
  };
  T.ticks = (low, high, count, log) => {
    if (!log) return nice(low, high, count);
    const a = Math.ceil(Math.log10(low) - 1e-9), b = Math.floor(Math.log10(high) + 1e-9), every = Math.max(1, Math.ceil((b - a + 1) / count));
    const found = [];
    for (let k = a; k <= b; k += every) found.push(10 ** k);
    if (found.length > 1) return found;
    return nice(low, high, count).filter((x) => x > 0);
  };

  class OnCanvas {
    constructor(canvas, width, height) {
      const ratio = window.devicePixelRatio || 1;
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
      this.c = canvas.getContext("2d");
      this.c.scale(ratio, ratio);
    }
    clip(x, y, w, h) { this.c.save(); this.c.beginPath(); this.c.rect(x, y, w, h); this.c.clip(); }
    unclip() { this.c.restore(); }
    rect(x, y, w, h, fill) { this.c.fillStyle = fill; this.c.fillRect(x, y, w, h); }
    line(points, { color, width = 1.5, dash = [], alpha = 1, fill = null } = {}) {
      if (!points.length) return;
      const c = this.c;
      c.globalAlpha = alpha; c.strokeStyle = color; c.lineWidth = width; c.setLineDash(dash); c.lineJoin = "round";
      c.beginPath();
      let down = false;
      for (const [x, y] of points) {
        if (!(Math.abs(x) < 1e7 && Math.abs(y) < 1e7)) { down = false; continue; }
        if (down) c.lineTo(x, y); else c.moveTo(x, y);
        down = true;
      }
      if (fill) { c.fillStyle = fill; c.fill(); }
      if (width) c.stroke();
      c.globalAlpha = 1; c.setLineDash([]);
    }
    dot(x, y, r, fill, stroke = null) {
      const c = this.c;
      c.beginPath(); c.arc(x, y, r, 0, 2 * Math.PI); c.fillStyle = fill; c.fill();
      if (stroke) { c.strokeStyle = stroke; c.lineWidth = 1.5; c.stroke(); }
    }
    text(x, y, text, { color, align = "center", base = "middle", size = 12, turn = 0, bold = false } = {}) {
      const c = this.c;
      c.save(); c.translate(x, y); c.rotate(turn);
      c.fillStyle = color; c.textAlign = align; c.textBaseline = base;
      c.font = `${bold ? "600 " : ""}${size}px system-ui, sans-serif`;
      c.fillText(text, 0, 0); c.restore();
    }
    image(picture, x, y, w, h, smooth) { this.c.imageSmoothingEnabled = smooth; this.c.drawImage(picture, x, y, w, h); }
  }

  class AsSvg {
    constructor(width, height) { this.parts = []; this.size = [width, height]; this.clips = 0; }
    put(text) { this.parts.push(text); }
    safe(text) { return String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;"); }
    clip(x, y, w, h) {
      const id = `clip${this.clips++}`;
      this.put(`<clipPath id="${id}"><rect x="${x}" y="${y}" width="${w}" height="${h}"/></clipPath><g clip-path="url(#${id})">`);
    }
    unclip() { this.put("</g>"); }
    rect(x, y, w, h, fill) { this.put(`<rect x="${x}" y="${y}" width="${w}" height="${h}" fill="${fill}"/>`); }
    line(points, { color, width = 1.5, dash = [], alpha = 1, fill = null } = {}) {
      let d = "", down = false;
      for (const [x, y] of points) {
        if (!(Math.abs(x) < 1e7 && Math.abs(y) < 1e7)) { down = false; continue; }
        d += `${down ? "L" : "M"}${x.toFixed(2)} ${y.toFixed(2)}`;
        down = true;
      }
      this.put(`<path d="${d}" fill="${fill || "none"}" stroke="${width ? color : "none"}" stroke-width="${width}" stroke-dasharray="${dash.join(" ")}" opacity="${alpha}" stroke-linejoin="round"/>`);
    }
    dot(x, y, r, fill, stroke = null) { this.put(`<circle cx="${x.toFixed(2)}" cy="${y.toFixed(2)}" r="${r}" fill="${fill}"${stroke ? ` stroke="${stroke}" stroke-width="1.5"` : ""}/>`); }
    text(x, y, text, { color, align = "center", base = "middle", size = 12, turn = 0, bold = false } = {}) {
      const anchor = { center: "middle", left: "start", right: "end" }[align];
      const down = { middle: 0.35, top: 0.8, bottom: -0.2, alphabetic: 0 }[base] * size;
      this.put(`<text transform="translate(${x} ${y}) rotate(${(turn * 180) / Math.PI})" y="${down}" text-anchor="${anchor}" font-size="${size}" font-family="sans-serif"${bold ? ' font-weight="600"' : ""} fill="${color}">${this.safe(text)}</text>`);
    }
    image(picture, x, y, w, h, smooth) {
      this.put(`<image x="${x}" y="${y}" width="${w}" height="${h}" preserveAspectRatio="none" style="image-rendering:${smooth ? "auto" : "pixelated"}" href="${picture.toDataURL("image/png")}"/>`);
    }
    whole(background) {
      const [w, h] = this.size;
      return `<svg xmlns="http://www.w3.org/2000/svg" width="${w}" height="${h}" viewBox="0 0 ${w} ${h}"><rect width="${w}" height="${h}" fill="${background}"/>${this.parts.join("")}</svg>\n`;
    }
  }

  // A frame with axes; `paint(pen, to)` draws inside it. `to` takes data to the page.
  T.Frame = class {
    constructor({ width, height, x, y, logx = false, logy = false, equal = false, labels = ["", ""], paint, label }) {
      Object.assign(this, { width, height, logx, logy, labels, paint });
      this.left = 58; this.right = 14; this.top = 12; this.bottom = 44;
      this.range = { x: [...x], y: [...y] };
      if (equal) this.even();
      this.canvas = T.el("canvas", { role: "img", "aria-label": label || labels.join(" against ") });
    }
    even() {
      const w = this.width - this.left - this.right, h = this.height - this.top - this.bottom, { x, y } = this.range;
      const unit = Math.max((x[1] - x[0]) / w, (y[1] - y[0]) / h);
      for (const [range, size] of [[x, w], [y, h]]) {
        const middle = (range[0] + range[1]) / 2, half = (unit * size) / 2;
        range[0] = middle - half; range[1] = middle + half;
      }
    }
    get box() { return [this.left, this.top, this.width - this.left - this.right, this.height - this.top - this.bottom]; }
    share(value, axis) {
      const [a, b] = this.range[axis], log = axis === "x" ? this.logx : this.logy;
      return log ? Math.log(value / a) / Math.log(b / a) : (value - a) / (b - a);
    }
    to = (x, y) => {
      const [left, top, w, h] = this.box;
      return [left + w * this.share(x, "x"), top + h * (1 - this.share(y, "y"))];
    };
    from = (px, py) => {
      const [left, top, w, h] = this.box;
      const back = (share, axis) => {
        const [a, b] = this.range[axis], log = axis === "x" ? this.logx : this.logy;
        return log ? a * (b / a) ** share : a + share * (b - a);
      };
      return [back((px - left) / w, "x"), back(1 - (py - top) / h, "y")];
    };
    render(pen) {
      const [left, top, w, h] = this.box, ink = T.ink("ink"), quiet = T.ink("quiet"), line = T.ink("line");
      pen.rect(0, 0, this.width, this.height, T.ink("card"));
      pen.clip(left, top, w, h);
      this.paint(pen, this.to, this);
      pen.unclip();
      const counts = { x: Math.max(2, Math.floor(w / 80)), y: Math.max(2, Math.floor(h / 45)) };
      for (const at of T.ticks(...this.range.x, counts.x, this.logx)) {
        const px = left + w * this.share(at, "x");
        if (px < left - 1 || px > left + w + 1) continue;
        pen.line([[px, top + h], [px, top + h + 4]], { color: quiet, width: 1 });
        pen.text(px, top + h + 7, T.number(at, 4), { color: quiet, base: "top", size: 11.5 });
      }
      for (const at of T.ticks(...this.range.y, counts.y, this.logy)) {
        const py = top + h * (1 - this.share(at, "y"));
        if (py < top - 1 || py > top + h + 1) continue;
        pen.line([[left - 4, py], [left, py]], { color: quiet, width: 1 });
        pen.text(left - 7, py, T.number(at, 4), { color: quiet, align: "right", size: 11.5 });
      }
      pen.line([[left, top], [left + w, top], [left + w, top + h], [left, top + h], [left, top]], { color: line, width: 1 });
      pen.text(left + w / 2, this.height - 6, this.labels[0], { color: ink, base: "bottom", size: 12.5 });
      pen.text(13, top + h / 2, this.labels[1], { color: ink, size: 12.5, turn: -Math.PI / 2 });
    }
    draw() { this.render(new OnCanvas(this.canvas, this.width, this.height)); }
    png(name) { this.canvas.toBlob((blob) => T.download(`${name}.png`, blob)); }
    svg(name) {
      const pen = new AsSvg(this.width, this.height);
      this.render(pen);
      T.download(`${name}.svg`, pen.whole(T.ink("card")), "image/svg+xml");
    }
  };
  // Bytes from 0 to 255, row by row from the lower left, as a picture.
  T.bitmap = (bytes, columns, rows, color) => {
    const made = T.el("canvas", { width: columns, height: rows }), c = made.getContext("2d"), image = c.createImageData(columns, rows);
    for (let j = 0; j < rows; j++) for (let i = 0; i < columns; i++) {
      const [r, g, b, a] = color(bytes[j * columns + i], i, j), at = 4 * ((rows - 1 - j) * columns + i);
      image.data[at] = r; image.data[at + 1] = g; image.data[at + 2] = b; image.data[at + 3] = a;
    }
    c.putImageData(image, 0, 0);
    return made;
  };
  // Viridis and cividis by some of their colours.
  const scale = (stops) => (t) => {
    const x = Math.min(Math.max(t, 0), 1) * (stops.length - 1), i = Math.min(Math.floor(x), stops.length - 2), s = x - i;
    return stops[i].map((v, k) => Math.round(v + s * (stops[i + 1][k] - v)));
  };
  T.viridis = scale([[68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141], [39, 173, 129], [92, 200, 99], [170, 220, 50], [253, 231, 37]]);
  T.cividis = scale([[0, 32, 77], [0, 48, 111], [57, 72, 107], [87, 93, 109], [112, 113, 115], [138, 134, 120], [166, 157, 117], [196, 181, 108], [228, 207, 91], [255, 234, 70]]);

  // Lines of equal value of a square grid, as pairs of points in cells.
  T.contours = (values, n, level) => {
    const found = [], at = (i, j) => values[j * n + i];
    for (let j = 0; j < n - 1; j++) for (let i = 0; i < n - 1; i++) {
      const corners = [at(i, j), at(i + 1, j), at(i + 1, j + 1), at(i, j + 1)];
      if (corners.some((v) => !Number.isFinite(v))) continue;
      const cut = [];
      for (let e = 0; e < 4; e++) {
        const a = corners[e], b = corners[(e + 1) % 4];
        if ((a < level) === (b < level)) continue;
        const s = (level - a) / (b - a), [x0, y0] = [[0, 0], [1, 0], [1, 1], [0, 1]][e], [x1, y1] = [[1, 0], [1, 1], [0, 1], [0, 0]][e];
        cut.push([i + x0 + s * (x1 - x0), j + y0 + s * (y1 - y0)]);
      }
      for (let k = 0; k + 1 < cut.length; k += 2) found.push([cut[k], cut[k + 1]]);
    }
    return found;
  };
  // Names of a picture's buttons.
  T.exports = (frame, name, rows) => T.el("div", { class: "exports", role: "group", "aria-label": "Save the picture" },
    T.button("PNG", () => frame().png(name())), T.button("SVG", () => frame().svg(name())),
    rows && T.button("CSV", () => { const [names, cells] = rows(); T.download(`${name()}.csv`, T.csv(names, cells), "text/csv"); }));
})();
