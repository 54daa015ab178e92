// The playground: methods go down a function of two parameters; start and settings are dragged, numbers are the library's.
"use strict";
T.pages.playground = async (host, params) => {
  const known = await (T.known ??= T.ask("state"));
  let gone = false, land = null, answer = null, map = null, shown = null, playing = null, walked = false;
  const parse = (text) => { const [name, ...rest] = text.split(":"); return { name, settings: Object.fromEntries((rest.join(":") || "").split(",").filter(Boolean).map((p) => { const [k, v] = p.split("="); return [k, Number(v)]; })) }; };
  const state = { problem: known.problems.includes(params.get("f")) ? params.get("f") : known.problems[0], start: params.get("x") ? params.get("x").split(",").map(Number) : null, steps: Math.min(Math.max(Math.round(Number(params.get("steps"))) || 100, 1), 1000), seed: Number(params.get("seed")) || 0, zoom: Math.min(Math.max(Number(params.get("zoom")) || 1, 0.05), 20), flow: params.get("flow") !== "0", methods: params.getAll("m").map(parse).filter((m) => known.methods[m.name]) };
  if (!state.methods.length) state.methods = [{ name: "momentum", settings: {} }, { name: "gradient_descent", settings: {} }];
  for (const m of state.methods) m.settings = { ...known.methods[m.name].settings, ...Object.fromEntries(Object.entries(m.settings).filter(([k, v]) => k in known.methods[m.name].settings && Number.isFinite(v))) };
  if (!params.getAll("m").length && state.problem === "quadratic-2d") { state.methods[0].settings.learning_rate = 0.3; state.methods[1].settings.learning_rate = 0.3; }
  const keep = () => T.keep("playground", { f: state.problem, x: state.start ? state.start.map((v) => Number(v.toPrecision(6))).join(",") : "", steps: state.steps === 100 ? "" : state.steps, seed: state.seed || "", zoom: state.zoom === 1 ? "" : state.zoom, flow: state.flow ? "" : "0", m: state.methods.map((m) => `${m.name}:${Object.entries(m.settings).map(([k, v]) => `${k}=${Number(v.toPrecision(12))}`).join(",")}`) });

  const plane = T.el("div", { class: "frame", tabindex: "0", role: "application", "aria-label": "The start; arrow keys move it" }), mapped = T.el("div", {}), list = T.el("div", {}), words = T.el("p", { class: "quiet", role: "status" });
  const scrub = T.el("input", { type: "range", min: "0", step: "1", "aria-label": "step", oninput: () => { stop(); shown = Number(scrub.value); draw(); } });
  const play = T.button("play", () => (playing ? stop() : start()), { title: "space" });
  const tools = T.el("div", { class: "tools" });
  const loss = new T.Chart({ title: "Loss", xlabel: "step", ylabel: "f − f*", name: () => `${state.problem}-loss`, height: 230 });
  const code = T.el("div", {});
  host.append(T.el("h1", {}, "Playground"), tools, T.el("div", { class: "split" },
    T.el("div", {}, T.el("section", { class: "card" }, T.el("div", { class: "head" }, T.el("h2", {}, "Drag the start"), T.el("span", { class: "exports" }, T.button("−", () => zoomed(1.5), { "aria-label": "Show more" }), T.button("+", () => zoomed(1 / 1.5), { "aria-label": "Show less" })), T.exports(() => frame, () => state.problem, () => [["method", "step", "x1", "x2", "f"], answer.methods.flatMap((m, i) => m.path.map((p, k) => [label(state.methods[i]), k, p[0], p[1], m.losses[k]]))])), plane, T.el("div", { class: "slider" }, play, scrub), words), loss.root),
    T.el("div", {}, T.el("section", { class: "card" }, T.el("h2", {}, "Methods"), list), mapped)), code);
  const label = (m) => m.name.replaceAll("_", " ");
  let frame = null, picture = null, contours = null;

  const stop = () => { cancelAnimationFrame(playing); playing = null; play.textContent = "play"; };
  const start = () => {
    if (shown === null || shown >= state.steps) shown = 0;
    play.textContent = "stop";
    let before = performance.now();
    const go = (now) => {
      if (now - before > 4000 / Math.max(state.steps, 40)) { before = now; shown = Math.min(shown + Math.max(1, Math.round(state.steps / 240)), state.steps); scrub.value = shown; draw(); }
      if (shown >= state.steps) { stop(); shown = null; } else playing = requestAnimationFrame(go);
    };
    playing = requestAnimationFrame(go);
  };

  // ---- the plane ----
  const zoomed = async (by) => { state.zoom = Math.min(Math.max(Number((state.zoom * by).toPrecision(3)), 0.05), 20); keep(); await build(); draw(); };
  const build = async () => {
    const width = Math.min(820, Math.max(270, plane.clientWidth || 560)), height = Math.round(Math.min(width * 0.78, 560));
    land = await T.ask("landscape", { problem: state.problem, aspect: (width - 72) / (height - 56), zoom: state.zoom });
    land.grid = T.floats(land.values);
    if (!state.start) state.start = [...land.start];
    const allowed = land.rows || Object.keys(known.methods);
    if (state.methods.some((m) => !allowed.includes(m.name))) {
      state.methods = state.methods.filter((m) => allowed.includes(m.name));
      if (!state.methods.length) state.methods = [{ name: "momentum", settings: { ...known.methods.momentum.settings } }];
      answer = null;
    }
    build_methods();
    const n = land.cells;
    const finite = [...land.grid].filter(Number.isFinite).sort((a, b) => a - b), top = finite[Math.floor(0.98 * finite.length)] || 1, small = Math.max(finite[Math.floor(0.02 * finite.length)], 1e-9 * top);
    const share = (v) => Math.log1p(Math.max(v, 0) / small) / Math.log1p(top / small);
    const dark = document.documentElement.dataset.theme === "dark";
    picture = T.bitmap(land.grid, n, n, (v) => { const s = Math.min(share(v), 1), c = dark ? [30 + 26 * s, 36 + 32 * s, 43 + 38 * s] : [252 - 58 * s, 252 - 46 * s, 251 - 34 * s]; return Number.isFinite(v) ? [...c, 255] : [0, 0, 0, 0]; });
    contours = Array.from({ length: 11 }, (_, k) => small * Math.expm1(((k + 1) / 12) * Math.log1p(top / small))).map((level) => T.contours(land.grid, n, level));
    frame = new T.Frame({ width, height, x: land.box[0], y: land.box[1], labels: ["x₁", "x₂"], label: `Paths of methods on ${state.problem}`, paint });
    plane.replaceChildren(frame.canvas);
  };
  const paint = (pen, to) => {
    const [[x0, x1], [y0, y1]] = land.box, n = land.cells, [px0, py0] = to(x0, y0), [px1, py1] = to(x1, y1);
    pen.image(picture, px0, py1, px1 - px0, py0 - py1, true);
    const at = ([i, j]) => [px0 + ((px1 - px0) * i) / (n - 1), py0 + ((py1 - py0) * j) / (n - 1)];
    const path = contours.flat().flatMap(([a, b]) => [at(a), at(b), [NaN, NaN]]);
    pen.line(path, { color: T.ink("quiet"), width: 0.7, alpha: 0.55 });
    if (land.rows) pen.line(Array.from({ length: 121 }, (_, k) => to(Math.cos((k * Math.PI) / 60), Math.sin((k * Math.PI) / 60))), { color: T.ink("quiet"), width: 1.4 });
    if (!answer) return;
    // What is behind the sphere has no place.
    const place = (p) => (p[0] === null ? [NaN, NaN] : to(...p));
    answer.methods.forEach((m, i) => {
      const look = T.look(i);
      if (m.law && m.law.exact) for (const [covariance, dash] of [[m.law.exact, [3, 3]], [m.law.own, []]]) if (covariance) pen.line(ellipse(m.law.centre, covariance, to), { color: look.color, width: 1.8, dash });
      if (state.flow && m.flow) pen.line(m.flow.map(place), { color: look.color, width: 6, alpha: 0.25 });
      const some = shown === null ? m.path : m.path.slice(0, shown + 1);
      pen.line(some.map(place), { color: look.color, width: 1.3, dash: look.dash });
      const every = Math.max(1, Math.floor(some.length / 300));
      some.forEach((p, k) => { if (p[0] !== null && (k % every === 0 || k === some.length - 1)) pen.dot(...to(...p), k === some.length - 1 ? 4 : 2.1, look.color); });
    });
    const [cx, cy] = to(...land.centre);
    pen.line([[cx - 6, cy], [cx + 6, cy], [NaN, NaN], [cx, cy - 6], [cx, cy + 6]], { color: T.ink("ink"), width: 1.6 });
    pen.dot(...to(...state.start), 8, T.ink("card"), T.ink("ink"));
    pen.dot(...to(...state.start), 3.5, T.ink("ink"));
  };
  // Two standard deviations of a Gaussian.
  const ellipse = ([cx, cy], [[a, b], [, d]], to) => {
    const l11 = Math.sqrt(a), l21 = b / l11, l22 = Math.sqrt(Math.max(d - l21 * l21, 0));
    return Array.from({ length: 73 }, (_, k) => { const u = 2 * Math.cos((k * Math.PI) / 36), v = 2 * Math.sin((k * Math.PI) / 36); return to(cx + l11 * u, cy + l21 * u + l22 * v); });
  };
  const draw = () => {
    if (!frame || gone) return;
    frame.draw();
    words.textContent = `start ${state.start.map((v) => T.number(v, 4)).join(", ")}${shown === null ? "" : `; step ${shown} of ${state.steps}`}. Markers are steps${state.flow ? ", the broad pale line is the law of motion that they cut" : ""}; the cross is ${land && land.floor !== null ? "the minimum" : "the centre"}.`;
  };
  const ask = T.latest(async () => {
    const began = performance.now();
    try {
      const asked = { problem: state.problem, start: state.start, steps: state.steps, seed: state.seed, methods: structuredClone(state.methods) };
      // A drag does not wait for stability limits; where the hand rests they follow.
      let found = await T.ask("playground", { ...asked, limits: false });
      if (gone || found.methods.length !== state.methods.length) return;
      shows(found, began);
      if (found.methods.some((m) => m.pending) && !ask.waits()) {
        found = await T.ask("playground", asked);
        if (!gone && found.methods.length === state.methods.length) shows(found, began);
      }
    } catch (error) { words.textContent = ""; words.append(T.failed(error)); }
  });
  const shows = (found, began) => {
      answer = found;
      host.dataset.drag = String(Math.round(performance.now() - began));
      host.dataset.answers = String(Number(host.dataset.answers || 0) + 1);
      if (!playing) { shown = null; scrub.max = state.steps; scrub.value = state.steps; }
      draw();
      tell();
      mark();
      const curves = found.methods.map((m, i) => ({ name: `${i + 1}. ${label(m)}`, ...T.look(i), x: m.losses.map((_, k) => k), y: m.losses.map((v) => (v === null ? null : v - land.floor)), of: m.losses.length, always: true }));
      loss.set(curves);
      const open = code.querySelector("details")?.open;
      code.replaceChildren(T.python(found.python));
      if (open) code.querySelectorAll("details").forEach((d) => { d.open = true; });
  };
  const changed = () => { keep(); ask(); };

  // ---- the methods ----
  const fields = [];
  const tell = () => answer.methods.forEach((m, i) => {
    const box = fields[i];
    if (!box) return;
    const diverges = m.rate !== null && m.rate > 1 + 1e-9;
    box.verdict.textContent = m.rate === null ? `${m.ran}` : diverges ? "diverges" : m.regime;
    box.verdict.className = `verdict ${diverges || m.ran === "diverging" ? "bad" : ""}`;
    const digits = (v) => (v === null ? "–" : Number.isFinite(v) ? String(Number(v.toPrecision(12))) : "∞");
    box.facts.replaceChildren(T.facts([
      ["largest stable " + (m.limit_of || "step").replace("_", " "), m.pending ? "…" : m.limit === null ? "–" : T.el("span", { class: "limit", "data-value": m.limit }, digits(m.limit))],
      ["limit over the step in use", m.margin === null ? null : T.number(m.margin, 4)],
      ["error after one step", m.rate === null ? null : T.el("span", { class: "rate", "data-value": m.rate }, digits(m.rate))],
      ["this path", m.ran], ["last f − f*", m.losses[m.losses.length - 1] === null ? "not finite" : T.number(m.losses[m.losses.length - 1] - land.floor, 4)]]),
      m.no_flow ? T.el("p", { class: "quiet" }, `No continuous path: ${m.no_flow}.`) : "",
      m.law ? T.el("p", { class: "quiet" }, "Ellipses of two deviations: full, where this step settles; dashed, exp(−f/T) near the minimum.") : "");
  });
  const build_methods = () => {
    fields.length = 0;
    list.replaceChildren(...state.methods.map((m, i) => {
      const about = known.methods[m.name], verdict = T.el("span", { class: "verdict quiet" }, answer ? "" : "computing …"), facts = T.el("div", {}), inputs = {};
      const fieldsOf = Object.keys(about.settings).map((name) => {
        inputs[name] = T.el("input", { type: "number", step: "any", min: "0", value: m.settings[name], oninput: () => { const v = Number(inputs[name].value); if (inputs[name].value !== "" && v >= 0 && Number.isFinite(v)) { m.settings[name] = v; changed(); } } });
        const rate = name === about.knob;
        const slide = rate || /momentum|beta|temperature|friction/.test(name) ? T.el("input", { type: "range", min: rate ? "-4" : "0", max: rate ? "1" : /momentum|beta/.test(name) ? "0.999" : "3", step: "0.001", value: rate ? Math.log10(m.settings[name] || 1e-4) : m.settings[name], "aria-label": `${name.replaceAll("_", " ")}, a slider`, oninput: (event) => { const v = rate ? 10 ** Number(event.target.value) : Number(event.target.value); m.settings[name] = Number(v.toPrecision(4)); inputs[name].value = m.settings[name]; changed(); } }) : null;
        inputs[name].slide = slide;
        return T.el("label", { class: "field" }, T.el("span", {}, name.replaceAll("_", " ")), inputs[name], slide);
      });
      fields.push({ verdict, facts, inputs });
      return T.el("div", { class: "method", style: `border-color:${T.look(i).color}` },
        T.el("div", { class: "tools" }, T.choose(`method ${i + 1}`, (land?.rows || Object.keys(known.methods)).map((n) => [n, n.replaceAll("_", " ")]), m.name, (v) => { state.methods[i] = { name: v, settings: { ...known.methods[v].settings } }; build_methods(); remap(); changed(); }),
          about.knob ? T.button("best step", () => best(i), { title: "the settings of least error after a step, near the minimum" }) : "", state.methods.length > 1 ? T.button("remove", () => { state.methods.splice(i, 1); answer = null; build_methods(); remap(); changed(); }) : ""),
        T.el("div", { class: "tools" }, fieldsOf), verdict, facts);
    }), state.methods.length < 6 ? T.button("add a method", () => { const used = state.methods.map((m) => m.name), next = (land?.rows || ["nesterov", "adam", "rk4", "sgld", "momentum"]).find((n) => !used.includes(n)) || "momentum"; state.methods.push({ name: next, settings: { ...known.methods[next].settings } }); answer = null; build_methods(); remap(); changed(); }) : "");
  };
  const fill = (i) => { for (const [name, box] of Object.entries(fields[i].inputs)) { box.value = state.methods[i].settings[name]; if (box.slide) box.slide.value = name === known.methods[state.methods[i].name].knob ? Math.log10(state.methods[i].settings[name] || 1e-4) : state.methods[i].settings[name]; } };
  const best = async (i) => {
    try {
      const found = await T.ask("best", { problem: state.problem, ...state.methods[i] });
      state.methods[i].settings = found.settings;
      fill(i);
      changed();
    } catch (error) { T.say(error.message); }
  };

  // ---- the map of learning rate and momentum ----
  let chart = null;
  const remap = async () => {
    const i = state.methods.findIndex((m) => known.mapped.includes(m.name));
    if (i < 0) { mapped.replaceChildren(); map = chart = null; return; }
    try {
      const name = state.methods[i].name;
      const found = await T.ask("stability", { problem: state.problem, method: name });
      if (gone || state.methods[i]?.name !== name) return;
      map = { ...found, at: i, radii: T.floats(found.radius) };
      const nx = found.rates.length, ny = found.momenta.length;
      const image = T.bitmap(map.radii, nx, ny, (v) => (v > 1 + 1e-6 ? [150, 150, 150, 70] : [...T.cividis(1 - Math.min(-Math.log10(Math.max(1 - v, 1e-4)) / 3, 1)), 255]));
      const marks = () => state.methods.map((m, k) => [m, k]).filter(([m]) => m.name === name || (m.name === "gradient_descent"));
      chart = new T.Frame({ width: Math.min(420, Math.max(260, mapped.clientWidth - 26 || 330)), height: 300, x: [found.rates[0], found.rates[nx - 1]], y: [0, 1], logx: true, labels: ["learning rate", "momentum"], label: `Where ${label({ name })} is stable`,
        paint: (pen, to) => {
          // A pixel has its setting in its middle.
          const half = Math.sqrt(found.rates[1] / found.rates[0]), up = (found.momenta[1] - found.momenta[0]) / 2;
          const [x0, y0] = to(found.rates[0] / half, found.momenta[0] - up), [x1, y1] = to(found.rates[nx - 1] * half, found.momenta[ny - 1] + up);
          pen.image(image, x0, y1, x1 - x0, y0 - y1, false);
          pen.line(found.limits.map((v, k) => to(Math.min(Math.max(v, found.rates[0]), found.rates[nx - 1]), found.momenta[k])), { color: T.ink("ink"), width: 1.8 });
          if (found.best) pen.text(...to(...found.best), "★", { color: "#ffffff", size: 17 });
          for (const [m, k] of marks()) pen.dot(...to(m.settings.learning_rate, m.settings.momentum ?? 0), 6.5, T.look(k).color, "#ffffff");
        } });
      const box = T.el("div", { class: "frame", tabindex: "0", role: "application", "aria-label": "Learning rate and momentum; arrow keys move the point" }, chart.canvas);
      mapped.replaceChildren(T.el("section", { class: "card" }, T.el("div", { class: "head" }, T.el("h2", {}, "Drag the point"), T.exports(() => chart, () => `${state.problem}-${name}-map`, () => [["learning rate", "momentum", "spectral radius"], [...map.radii].map((v, k) => [found.rates[k % nx], found.momenta[Math.floor(k / nx)], v])])), box,
        T.el("p", { class: "quiet" }, "Colour: error after one step near the minimum, the brighter the less. Right of the line the method diverges. The star is the best setting.")));
      drag(box, (px, py) => {
        const [rate, momentum] = chart.from(px, py);
        const m = state.methods[i];
        m.settings.learning_rate = Number(Math.min(Math.max(rate, found.rates[0]), found.rates[nx - 1]).toPrecision(5));
        m.settings.momentum = Number(Math.min(Math.max(momentum, 0), 0.999).toPrecision(4));
        fill(i);
        chart.draw();
        changed();
      });
      box.addEventListener("keydown", (event) => {
        const m = state.methods[i], s = m.settings, big = event.shiftKey ? 5 : 1;
        const moves = { ArrowLeft: () => { s.learning_rate /= 1.03 ** big; }, ArrowRight: () => { s.learning_rate *= 1.03 ** big; }, ArrowUp: () => { s.momentum = Math.min(s.momentum + 0.005 * big, 0.999); }, ArrowDown: () => { s.momentum = Math.max(s.momentum - 0.005 * big, 0); } };
        if (!moves[event.key]) return;
        moves[event.key]();
        s.learning_rate = Number(s.learning_rate.toPrecision(8)); s.momentum = Number(s.momentum.toPrecision(8));
        fill(i); chart.draw(); changed(); event.preventDefault();
      });
      chart.draw();
    } catch (error) { mapped.replaceChildren(T.el("section", { class: "card" }, T.failed(error))); }
  };
  const mark = () => chart?.draw();
  const drag = (box, move) => {
    let held = false;
    const at = (event) => { const r = box.querySelector("canvas").getBoundingClientRect(); return [event.clientX - r.left, event.clientY - r.top]; };
    box.addEventListener("pointerdown", (event) => { held = true; box.setPointerCapture(event.pointerId); move(...at(event)); });
    box.addEventListener("pointermove", (event) => { if (held) move(...at(event)); });
    for (const name of ["pointerup", "pointercancel"]) box.addEventListener(name, () => { held = false; });
  };
  drag(plane, (px, py) => { if (!frame) return; stop(); state.start = frame.from(px, py).map((v) => Number(v.toPrecision(5))); draw(); changed(); });
  plane.addEventListener("keydown", (event) => {
    const step = ((land.box[0][1] - land.box[0][0]) / 100) * (event.shiftKey ? 5 : 1), moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
    if (!moves[event.key]) return;
    state.start = state.start.map((v, k) => Number((v + moves[event.key][k]).toPrecision(6)));
    draw(); changed(); event.preventDefault();
  });

  const stepsBox = T.el("input", { type: "number", min: "1", max: "1000", step: "1", value: state.steps, onchange: () => { state.steps = Math.min(Math.max(Math.round(Number(stepsBox.value)) || 1, 1), 1000); stepsBox.value = state.steps; changed(); } });
  const seedBox = T.el("input", { type: "number", min: "0", step: "1", value: state.seed, onchange: () => { state.seed = Math.max(0, Math.round(Number(seedBox.value)) || 0); changed(); } });
  tools.append(T.choose("function", known.problems, state.problem, async (v) => { state.problem = v; state.start = null; answer = null; await build(); draw(); remap(); changed(); }),
    T.el("label", { class: "field" }, T.el("span", {}, "steps"), stepsBox), T.el("label", { class: "field" }, T.el("span", {}, "seed of the noise"), seedBox),
    T.check("continuous path", state.flow, (on) => { state.flow = on; keep(); draw(); }),
    T.button("start of the problem", () => { state.start = [...land.start]; draw(); changed(); }));
  try { await build(); draw(); ask(); remap(); } catch (error) { plane.replaceChildren(T.failed(error)); }
  return { close: () => { gone = true; stop(); loss.close(); }, key: (event) => { if (event.key === " " && !/BUTTON|INPUT|SELECT|SUMMARY/.test(event.target.tagName)) { play.click(); event.preventDefault(); } } };
};
