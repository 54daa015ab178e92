// The page's common parts: questions to the server, state in the address, elements, numbers, downloads.
"use strict";
const T = { pages: {}, kept: null };

(() => {
  const kept = document.getElementById("kept");
  if (kept) T.kept = JSON.parse(kept.textContent);

  // ---- questions ----
  const sorted = (asked) => {
    const some = {};
    for (const name of Object.keys(asked).sort()) if (asked[name] !== null && asked[name] !== undefined) some[name] = asked[name];
    return some;
  };
  T.ask = async (question, asked = {}, signal = undefined) => {
    if (T.kept) {
      const found = T.kept.answers[`${question} ${JSON.stringify(sorted(asked))}`];
      if (!found) throw new Error("this file does not hold that; thalweg view does");
      if (found.error) throw new Error(found.error);
      return found;
    }
    const reply = await fetch(`/api/${question}`, {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(sorted(asked)), signal,
    });
    const type = reply.headers.get("content-type") || "";
    const found = type.includes("json") ? await reply.json() : { error: await reply.text() };
    if (!reply.ok || found.error) throw new Error(found.error || `the server answered ${reply.status}`);
    return found;
  };
  // Curves in the order in which they are wanted.
  T.curves = async (wanted, points = 4000) => {
    if (!wanted.length) return [];
    if (T.kept) {
      return wanted.map((one) => {
        const { run, metric, against } = one;
        const found = T.kept.answers[`curve ${JSON.stringify(sorted({ run, metric, against }))}`];
        return found || { error: "not in this file", x: [], y: [] };
      });
    }
    return (await T.ask("series", { wanted, points })).curves;
  };

  // ---- state in the address ----
  T.where = () => {
    const [page, query] = location.hash.replace(/^#\/?/, "").split("?");
    return { page: page || "", params: new URLSearchParams(query || "") };
  };
  T.address = (page, params) => {
    const some = new URLSearchParams();
    for (const [name, value] of Object.entries(params)) {
      if (value === null || value === undefined || value === "") continue;
      for (const one of Array.isArray(value) ? value : [value]) some.append(name, one);
    }
    const query = some.toString();
    return `#/${page}${query ? `?${query}` : ""}`;
  };
  T.go = (page, params = {}) => { location.hash = T.address(page, params); };
  // The same page with other state: no new entry in the history, nothing is drawn anew.
  T.keep = (page, params) => history.replaceState(null, "", T.address(page, params));

  // Some of the state, the rest as it is.
  T.amend = (changes) => {
    const { page, params } = T.where();
    for (const [name, value] of Object.entries(changes)) {
      params.delete(name);
      for (const one of [value].flat()) if (one !== null && one !== undefined && one !== "") params.append(name, one);
    }
    const query = params.toString();
    history.replaceState(null, "", `#/${page}${query ? `?${query}` : ""}`);
  };

  // ---- elements ----
  T.el = (tag, attributes = {}, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (name === "value" || name === "checked" || name === "selected" || name === "disabled") made[name] = value;
      else made.setAttribute(name, value === true ? "" : value);
    }
    for (const child of children.flat(3)) {
      if (child === null || child === undefined || child === false) continue;
      made.append(child instanceof Node ? child : document.createTextNode(String(child)));
    }
    return made;
  };
  T.svg = (tag, attributes = {}, ...children) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  };
  T.choose = (label, options, value, onchange, attributes = {}) => {
    const box = T.el("select", { onchange: (event) => onchange(event.target.value), ...attributes },
      options.map((one) => {
        const [name, text] = Array.isArray(one) ? one : [one, one];
        return T.el("option", { value: name, selected: name === value }, text);
      }));
    return T.el("label", { class: "field" }, T.el("span", {}, label), box);
  };
  T.check = (label, checked, onchange) => T.el("label", { class: "check" },
    T.el("input", { type: "checkbox", checked, onchange: (event) => onchange(event.target.checked) }), label);
  T.button = (label, onclick, attributes = {}) => T.el("button", { type: "button", onclick, ...attributes }, label);

  // ---- numbers ----
  T.number = (value, digits = 6) => {
    if (value === null || value === undefined) return "–";
    if (typeof value === "boolean") return value ? "yes" : "no";
    if (typeof value !== "number") return String(value);
    if (!Number.isFinite(value)) return value > 0 ? "∞" : "–";
    if (Number.isInteger(value) && Math.abs(value) < 1e9) return value.toLocaleString("en-US").replace("-", "−");
    const size = Math.abs(value);
    const text = size !== 0 && (size < 1e-4 || size >= 1e7) ? value.toExponential(Math.max(digits - 3, 2)).replace(/\.?0+e/, "e") : String(Number(value.toPrecision(digits)));
    return text.replace("-", "−").replace("e−", "e−").replace("e+", "e");
  };
  T.settings = (numbers) => Object.entries(numbers || {})
    .map(([name, value]) => `${name.replaceAll("_", " ")} ${T.number(value, 4)}`).join(", ");

  // ---- colours: Okabe and Ito's, that the colour-blind tell apart; after eight, dashes ----
  const light = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1", "#7f7f7f"];
  // The same hues on a dark ground.
  const dark = ["#4db1ee", "#ff8a45", "#27c79a", "#e59bc4", "#f5b83d", "#9ad4f5", "#b79ad6", "#a6a6a6"];
  Object.defineProperty(T, "palette", { get: () => (document.documentElement.dataset.theme === "dark" ? dark : light) });
  T.dashes = [[], [7, 4], [2, 3], [10, 3, 2, 3]];
  T.look = (i) => ({ color: T.palette[i % 8], dash: T.dashes[Math.floor(i / 8) % 4] });
  T.ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  // ---- out of the page ----
  T.say = (text) => {
    const toast = document.getElementById("toast");
    toast.textContent = text;
    toast.classList.add("shown");
    clearTimeout(T.say.timer);
    T.say.timer = setTimeout(() => toast.classList.remove("shown"), 2600);
  };
  T.download = (name, content, type) => {
    const blob = content instanceof Blob ? content : new Blob([content], { type });
    const link = T.el("a", { href: URL.createObjectURL(blob), download: name });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    T.say(`saved ${name}`);
  };
  T.copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
      T.say("copied");
    } catch {
      const area = T.el("textarea", { "aria-label": "Python", class: "offscreen" });
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
      T.say("copied");
    }
  };
  T.csv = (names, rows) => {
    const cell = (value) => {
      if (value === null || value === undefined) return "";
      let text = String(value);
      // A spreadsheet must not take a name for a formula.
      if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
      return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    return [names, ...rows].map((row) => row.map(cell).join(",")).join("\n") + "\n";
  };
  T.python = (code) => T.el("details", { class: "python" }, T.el("summary", {}, "as Python"),
    T.el("pre", {}, T.el("code", {}, code)), T.button("copy as Python", () => T.copy(code)));
  T.failed = (error) => T.el("p", { class: "failed", role: "alert" }, error.message || String(error));
  T.slug = (text) => text.replace(/[^\w.+=-]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 80) || "thalweg";

  // Work that must not pile up: one at a time, and of those that wait only the last.
  T.latest = (work) => {
    let busy = false, waiting = null;
    const go = async (...given) => {
      if (busy) { waiting = given; return; }
      busy = true;
      try { await work(...given); } finally {
        busy = false;
        if (waiting) { const next = waiting; waiting = null; go(...next); }
      }
    };
    go.waits = () => waiting !== null;
    return go;
  };
  T.bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  T.floats = (text) => new Float32Array(T.bytes(text).buffer);
})();
