// The list of runs: sort, filter, select; what differs between configurations; live while runs go on.
"use strict";
T.pages.runs = (host, params) => {
  let rows = new Map(), mark = null, timer = null, gone = false, cursor = 0, listed = [];
  const state = { q: params.get("q") || "", kind: params.get("kind") || "", status: params.get("status") || "", sort: params.get("sort") || "id", down: params.get("down") === "1", only: params.get("only") === "1", selected: new Set(params.getAll("run")), shown: Number(params.get("shown")) || 200 };
  const keep = () => T.keep("runs", { q: state.q, kind: state.kind, status: state.status, sort: state.sort === "id" ? "" : state.sort, down: state.down ? "1" : "", only: state.only ? "1" : "", shown: state.shown === 200 ? "" : state.shown, run: [...state.selected] });

  const search = T.el("input", { type: "search", value: state.q, placeholder: "name, objective, method, status", "aria-label": "Filter", oninput: () => { state.q = search.value; state.shown = 200; keep(); draw(); } });
  const count = T.el("span", { class: "quiet", role: "status" });
  const compare = T.button("compare", () => T.go("compare", { run: [...state.selected] }), { class: "main", disabled: true });
  const clear = T.button("select none", () => { state.selected.clear(); keep(); draw(); });
  const table = T.el("div", { class: "card scroll", tabindex: "0", role: "region", "aria-label": "Runs, a table" }, T.el("p", { class: "quiet" }, "reading …"));
  const tools = T.el("div", { class: "tools" }, T.el("label", { class: "field" }, T.el("span", {}, "filter (/)"), search),
    T.choose("kind", [["", "all"], "run", "recorded", "samples", "sweep"], state.kind, (v) => { state.kind = v; keep(); draw(); }),
    T.choose("status", [["", "all"], "running", "finished", "diverged", "interrupted", ["unreadable", "unreadable"]], state.status, (v) => { state.status = v; keep(); draw(); }),
    T.check("selected only", state.only, (on) => { state.only = on; keep(); draw(); }), clear, compare, count,
    T.button("CSV", () => T.download("runs.csv", T.csv(["id", "kind", "objective", "method", "settings", "steps", "gradients", "loss", "seconds", "status"], listed.map((r) => [r.id, r.kind, r.objective, r.method, T.settings(r.hyperparameters), r.steps, r.gradients, r.loss, r.seconds, r.status])), "text/csv")));
  host.append(T.el("h1", {}, T.kept ? T.kept.title : "Runs"), tools, table);

  const columns = [["id", "run", "text"], ["objective", "objective", "text"], ["method", "method", "text"], ["settings", "settings", "text"], ["steps", "steps", ""], ["gradients", "gradients", ""], ["loss", "last loss", ""], ["seconds", "seconds", ""], ["status", "status", "text"]];
  const value = (row, name) => (name === "settings" ? T.settings(row.hyperparameters) : row[name]);
  // Settings that most of the listed runs have, and not all alike: each a column of its own while they are few.
  const differing = (list) => {
    const values = new Map(), having = new Map();
    for (const row of list) for (const [name, v] of Object.entries(row.hyperparameters || {})) {
      if (!values.has(name)) values.set(name, new Set());
      values.get(name).add(typeof v === "number" ? Number(v.toPrecision(9)) : v);
      having.set(name, (having.get(name) || 0) + 1);
    }
    return [...values].filter(([name, set]) => set.size > 1 && having.get(name) > 0.6 * list.length).map(([name]) => name).slice(0, 4);
  };
  // What no column of its own has.
  const rest = (row, own) => T.settings(Object.fromEntries(Object.entries(row.hyperparameters || {}).filter(([name]) => !own.includes(name))));
  const draw = () => {
    const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
    const matches = (row) => {
      const text = `${row.id} ${row.objective} ${row.method} ${row.status} ${row.kind} ${T.settings(row.hyperparameters)}`.toLowerCase();
      return words.every((w) => text.includes(w)) && (!state.kind || row.kind === state.kind) && (!state.status || String(row.status).startsWith(state.status)) && (!state.only || state.selected.has(row.id));
    };
    listed = [...rows.values()].filter(matches);
    const of = state.sort.startsWith("set.") ? (r) => r.hyperparameters?.[state.sort.slice(4)] : (r) => value(r, state.sort);
    listed.sort((a, b) => {
      const x = of(a), y = of(b), none = (v) => v === null || v === undefined;
      if (none(x) || none(y)) return none(x) - none(y);
      const order = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), "en", { numeric: true });
      return state.down ? -order : order;
    });
    const chosen = [...state.selected].filter((id) => rows.has(id)).length;
    count.textContent = `${T.number(listed.length)} of ${T.number(rows.size)} runs, ${chosen} selected`;
    compare.disabled = chosen < 1;
    compare.textContent = chosen === 1 ? "look at 1" : `compare ${chosen || ""}`;
    clear.disabled = !chosen;
    if (!rows.size) {
      table.replaceChildren(T.el("div", { class: "empty" }, T.el("p", {}, "There is no run here yet."), T.el("p", {}, "Make one in a terminal: ", T.el("code", {}, "thalweg run rosenbrock")), T.el("p", {}, T.el("a", { href: "#/playground" }, "or go to the playground"))));
      return;
    }
    const own = differing(listed);
    const names = [...columns];
    names.splice(3, 0, ...own.map((name) => [`set.${name}`, name.replaceAll("_", " "), ""]));
    const head = T.el("tr", {}, T.el("th", { scope: "col" }, T.el("span", { class: "offscreen" }, "selected")),
      names.map(([name, text, kind]) => T.el("th", { scope: "col", class: kind, "aria-sort": state.sort === name ? (state.down ? "descending" : "ascending") : null },
        T.button(`${text}${state.sort === name ? (state.down ? " ↓" : " ↑") : ""}`, () => { state.down = state.sort === name && !state.down; state.sort = name; keep(); draw(); }))));
    const body = listed.slice(0, state.shown).map((row, i) => T.el("tr", { "aria-selected": String(state.selected.has(row.id)), "data-id": row.id },
      T.el("td", {}, T.el("input", { type: "checkbox", "aria-label": `Select ${row.id}`, checked: state.selected.has(row.id), onchange: () => toggle(row.id) })),
      names.map(([name, , kind]) => cell(row, name, kind, own))));
    const more = listed.length > state.shown ? T.button(`show ${T.number(Math.min(listed.length - state.shown, 1000))} more of ${T.number(listed.length - state.shown)}`, () => { state.shown += 1000; keep(); draw(); }) : null;
    const at = table.scrollLeft;
    table.replaceChildren(T.el("table", {}, T.el("caption", { class: "offscreen" }, "Runs by what their files say; not verified"), T.el("thead", {}, head), T.el("tbody", {}, body)), more || "");
    table.scrollLeft = at;
  };
  const cell = (row, name, kind, own) => {
    if (name === "id") return T.el("td", { class: "text name" }, T.el("a", { href: T.address("run", { run: row.id }) }, row.id));
    if (name.startsWith("set.")) return T.el("td", {}, T.number(row.hyperparameters?.[name.slice(4)], 5));
    if (name === "status") return T.el("td", { class: "text" }, T.status(row.status));
    if (name === "settings") return T.el("td", { class: "text wrap" }, rest(row, own));
    if (name === "method" || name === "objective") return T.el("td", { class: "text wrap" }, row[name] ?? "–");
    return T.el("td", { class: kind }, T.number(value(row, name), name === "seconds" ? 3 : 6));
  };
  const toggle = (id) => { if (state.selected.has(id)) state.selected.delete(id); else state.selected.add(id); keep(); draw(); };

  const read = async () => {
    try {
      const found = await T.ask("runs", { since: mark });
      if (found.all) rows = new Map();
      for (const row of found.rows) rows.set(row.id, row);
      for (const id of found.gone) rows.delete(id);
      const changed = found.all || found.rows.length || found.gone.length;
      mark = found.mark;
      if (changed) draw();
      T.live([...rows.values()].filter((r) => r.status === "running").length);
    } catch (error) {
      if (!rows.size) table.replaceChildren(T.failed(error));
      T.live(null);
    }
    if (!gone && !T.kept) timer = setTimeout(read, document.hidden ? 5000 : 1500);
  };
  read();
  return {
    key: (event) => {
      if (event.key === "/") { search.focus(); event.preventDefault(); }
      if (event.key === "c" && !compare.disabled) compare.click();
      if (event.key === "j" || event.key === "k") {
        const boxes = [...table.querySelectorAll("tbody input")];
        cursor = Math.min(Math.max(boxes.indexOf(document.activeElement) + (event.key === "j" ? 1 : -1), 0), boxes.length - 1);
        boxes[cursor]?.focus();
      }
    },
    close: () => { gone = true; clearTimeout(timer); },
  };
};
T.status = (status) => {
  const text = String(status ?? "–"), wrong = /^(unreadable|diverged|not finite|unbounded)/.test(text);
  return T.el("span", { class: `status ${text === "running" ? "running" : wrong ? "wrong" : ""}`, title: text }, text.length > 60 ? `${text.slice(0, 57)}…` : text);
};
