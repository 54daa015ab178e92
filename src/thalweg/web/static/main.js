// Which page is shown, its colours, and the keys that all pages have.
"use strict";
(() => {
  const host = document.getElementById("content"), nav = document.getElementById("nav"), live = document.getElementById("live"), theme = document.getElementById("theme");
  let current = null, drawn = 0;
  T.live = (running) => { live.textContent = T.kept ? "" : running === null ? "the server does not answer" : running ? `${running} running` : ""; live.classList.toggle("bad", running === null); };
  const pages = T.kept ? [["runs", "Runs"], ["compare", "Compare"]] : [["runs", "Runs"], ["compare", "Compare"], ["playground", "Playground"]];

  const themes = ["auto", "light", "dark"], signs = { auto: "◐", light: "○", dark: "●" };
  const system = matchMedia("(prefers-color-scheme: dark)");
  let stored = "auto";
  try { stored = localStorage.getItem("thalweg-theme") || "auto"; } catch { /* a file may have no storage */ }
  const colour = (name) => {
    stored = themes.includes(name) ? name : "auto";
    document.documentElement.dataset.theme = stored === "auto" ? (system.matches ? "dark" : "light") : stored;
    theme.textContent = signs[stored];
    theme.setAttribute("aria-label", `Colours: ${stored === "auto" ? "as the system has them" : stored}`);
    // All of a page is in its address, so that it is drawn anew in other colours.
    if (drawn) show();
  };
  theme.addEventListener("click", () => {
    const next = themes[(themes.indexOf(stored) + 1) % 3];
    try { localStorage.setItem("thalweg-theme", next); } catch { /* as above */ }
    colour(next);
  });
  system.addEventListener("change", () => colour(stored));

  const show = async () => {
    const { page, params } = T.where(), mine = ++drawn;
    const name = T.pages[page] && !(T.kept && page === "playground") ? page : T.kept && T.kept.runs.length === 1 ? "run" : T.kept ? "compare" : "runs";
    if (name === "run" && T.kept && !params.get("run")) params.set("run", T.kept.runs[0]);
    (await current)?.close?.();
    host.replaceChildren();
    T.live(0);
    nav.replaceChildren(...pages.map(([key, text]) => T.el("a", { href: `#/${key}`, "aria-current": key === name ? "page" : null }, text)));
    document.title = `${name === "run" ? params.get("run") : pages.find(([key]) => key === name)?.[1] ?? "thalweg"} · thalweg`;
    if (mine !== drawn) return;
    current = T.pages[name](host, params);
    try { await current; } catch (error) { host.append(T.failed(error)); }
  };
  addEventListener("hashchange", show);
  addEventListener("keydown", async (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = /INPUT|TEXTAREA|SELECT/.test(event.target.tagName) && !/checkbox|range/.test(event.target.type || "");
    if (typing) { if (event.key === "Escape") event.target.blur(); return; }
    const at = { g: "runs", m: "compare", p: "playground" }[event.key];
    if (at && pages.some(([key]) => key === at)) { T.go(at); return; }
    (await current)?.key?.(event);
  });
  if (T.kept) document.getElementById("brand").textContent = T.kept.title;
  colour(stored);
  show();
})();
