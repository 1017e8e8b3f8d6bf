"use strict";
// Sorting, filtering and the candidate browser. Text from programs goes through textContent only.
(() => {
  const $ = (id) => document.getElementById(id);
  const make = (name, text, cls) => {
    const node = document.createElement(name);
    if (text !== undefined) node.textContent = text;
    if (cls) node.className = cls;
    return node;
  };

  // --- theme -------------------------------------------------------------------------------
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (document.documentElement.dataset.theme || (dark.matches ? "dark" : "light")) === "dark";
  $("theme").addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    $("theme").setAttribute("aria-pressed", String(isDark()));
  });

  // --- tables ------------------------------------------------------------------------------
  const key = (row, column) => {
    const cell = row.cells[column];
    const raw = cell.dataset.v !== undefined ? cell.dataset.v : cell.textContent.trim();
    const value = Number(raw);
    return raw === "" ? null : Number.isNaN(value) ? raw.toLowerCase() : value;
  };
  const compare = (a, b) => {
    if (a === null || b === null) return a === b ? 0 : a === null ? 2 : -2; // unknown values stay last
    if (typeof a === typeof b) return a < b ? -1 : a > b ? 1 : 0;
    return typeof a === "number" ? -1 : 1;
  };
  const sortTable = (table, column, descending) => {
    const body = table.tBodies[0];
    const rows = Array.from(body.rows).map((row) => [key(row, column), row]);
    rows.sort((x, y) => {
      const c = compare(x[0], y[0]);
      return Math.abs(c) === 2 ? c : descending ? -c : c;
    });
    for (const [, row] of rows) body.append(row);
    Array.from(table.tHead.rows[0].cells).forEach((th, i) => {
      if (th.hasAttribute("aria-sort")) th.setAttribute("aria-sort", i === column ? (descending ? "descending" : "ascending") : "none");
    });
  };
  const wireSort = (table) => {
    Array.from(table.tHead.rows[0].cells).forEach((th, column) => {
      const button = th.querySelector("button");
      if (!button) return;
      th.setAttribute("aria-sort", th.getAttribute("aria-sort") || "none");
      button.addEventListener("click", () => {
        const state = th.getAttribute("aria-sort");
        const first = th.dataset.first === "ascending" ? "ascending" : "descending";
        const next = state === "none" ? first : state === "descending" ? "ascending" : "descending";
        sortTable(table, column, next === "descending");
      });
    });
  };
  document.querySelectorAll("table.sortable").forEach(wireSort);
  document.querySelectorAll("input[data-filter]").forEach((input) => {
    const table = $(input.dataset.filter);
    const count = $(input.dataset.filter + "-count");
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of table.tBodies[0].rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((w) => text.includes(w));
        if (!row.hidden) shown += 1;
      }
      if (count) count.textContent = `${shown} of ${table.tBodies[0].rows.length}`;
    });
  });

  // --- candidate browser ----------------------------------------------------------------------
  const data = JSON.parse($("data").textContent);
  if (!data.length) return;
  const taskBox = $("task"), statusBox = $("status"), search = $("search"), list = $("candidates"), detail = $("detail");
  const number = (x, digits) => (x === null || x === undefined ? "–" : x.toFixed(digits));
  const times = (x) => (x === null || x === undefined ? "–" : (x >= 100 ? x.toFixed(0) : x >= 10 ? x.toFixed(1) : x.toFixed(2)) + "x");
  const word = (status) => status.replace(/_/g, " ");

  data.forEach((task, i) => {
    const option = make("option", `${task.id} (${task.p.filter((p) => p.st === "correct").length} correct of ${task.all} programs)`);
    option.value = String(i);
    taskBox.append(option);
  });

  const program = (task, p) => {
    // Lines with their kind: " " as in the reference, "-" only there, "+" only in the program.
    const lines = [];
    let at = 0;
    for (const [first, last, ...added] of p.diff) {
      for (; at < first; at += 1) lines.push([" ", task.ref[at]]);
      for (; at < last; at += 1) lines.push(["-", task.ref[at]]);
      for (const line of added) lines.push(["+", line]);
    }
    for (; at < task.ref.length; at += 1) lines.push([" ", task.ref[at]]);
    return lines;
  };
  const searchable = (p) =>
    [p.d, p.st, p.m, p.by.join(" "), p.l.join(" "), p.diff ? p.diff.map((op) => op.slice(2).join("\n")).join("\n") : ""].join("\n").toLowerCase();

  const pairs = (entries) => {
    const dl = make("dl", undefined, "facts");
    for (const [name, value] of entries) if (value !== null) dl.append(make("dt", name), make("dd", value));
    return dl;
  };
  const codeBlock = (task, p, mode) => {
    const pre = make("pre");
    pre.tabIndex = 0;
    pre.setAttribute("aria-label", mode === "diff" ? "difference from the reference" : "program");
    for (const [kind, text] of program(task, p)) {
      if (mode === "program" && kind === "-") continue;
      const cls = mode === "diff" ? { "+": "add", "-": "del", " ": "" }[kind] : "";
      pre.append(make("span", mode === "diff" ? `${kind} ${text}` : text, cls));
    }
    return pre;
  };
  let mode = "diff";
  const show = (task, p) => {
    detail.replaceChildren();
    const title = make("h3", `Program ${p.d}`);
    title.id = "detail-title";
    const status = make("span", word(p.st), `status ${p.st}`);
    const interval = p.v === null ? "not timed" : p.lo === null ? times(p.v) : `${times(p.v)}, 99 % interval ${times(p.lo)} to ${times(p.hi)}`;
    detail.append(title, status, pairs([
      ["speedup", interval],
      ["per call", p.us === null ? null : `${number(p.us, 1)} microseconds`],
      ["surprisal", p.s === null ? "–" : `${number(p.s, 3)} nats per token, ${number(p.n, 0)} tokens`],
      ["written by", `${p.c} sample${p.c === 1 ? "" : "s"}, seed${p.e.length === 1 ? "" : "s"} ${p.e.join(", ")}`],
      ["labels", p.l.length ? p.l.join(", ") : null],
      ["message", p.m || null],
    ]));
    const chosen = make("p");
    for (const name of p.by) chosen.append(make("span", `chosen by ${name}`, "tag"));
    if (p.by.length) detail.append(chosen);
    if (!p.diff) {
      detail.append(make("p", "Its text is in samples.jsonl; this page keeps only as many programs as fit.", "soft"));
      return;
    }
    const tools = make("div", undefined, "tools");
    for (const [value, label] of [["diff", "Difference from the reference"], ["program", "Whole program"]]) {
      const button = make("button", label);
      button.type = "button";
      button.setAttribute("aria-pressed", String(mode === value));
      button.addEventListener("click", () => { mode = value; show(task, p); });
      tools.append(button);
    }
    detail.append(tools, codeBlock(task, p, mode));
  };

  const select = (row, focus) => {
    for (const other of list.tBodies[0].rows) {
      other.setAttribute("aria-selected", String(other === row));
      other.tabIndex = other === row ? 0 : -1;
    }
    if (focus) row.focus();
    const task = data[Number(taskBox.value)];
    show(task, task.p[Number(row.dataset.i)]);
  };
  const visibleRows = () => Array.from(list.tBodies[0].rows).filter((row) => !row.hidden);
  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const task = data[Number(taskBox.value)];
    for (const row of list.tBodies[0].rows) {
      const p = task.p[Number(row.dataset.i)];
      row.hidden = (statusBox.value && p.st !== statusBox.value) || !words.every((w) => searchable(p).includes(w));
    }
    const rows = visibleRows();
    $("candidates-count").textContent = `${rows.length} of ${task.all} programs` + (task.p.length < task.all ? ` (${task.p.length} kept here)` : "");
    const current = rows.find((row) => row.getAttribute("aria-selected") === "true") || rows[0];
    if (current) select(current, false);
    else detail.replaceChildren(make("p", "No program matches.", "soft"));
  };
  const open = (index) => {
    taskBox.value = String(index);
    const task = data[index];
    const body = list.tBodies[0];
    body.replaceChildren();
    task.p.forEach((p, i) => {
      const row = body.insertRow();
      row.dataset.i = String(i);
      row.tabIndex = -1;
      const cell = (text, value, cls) => {
        const td = row.insertCell();
        td.dataset.v = value === null ? "" : String(value);
        td.append(cls ? make("span", text, cls) : text);
      };
      cell(number(p.s, 3), p.s);
      cell(word(p.st), p.st, `status ${p.st}`);
      row.cells[1].classList.add("left");
      cell(times(p.v), p.v);
      cell(p.lo === null ? "–" : `${times(p.lo).slice(0, -1)} to ${times(p.hi)}`, p.lo);
      cell(number(p.n, 0), p.n);
      cell(String(p.c), p.c);
    });
    Array.from(list.tHead.rows[0].cells).forEach((th, i) => th.setAttribute("aria-sort", i === 0 ? "descending" : "none"));
    const present = new Set(task.p.map((p) => p.st));
    const keep = statusBox.value;
    statusBox.replaceChildren(new Option("every status", ""), ...Array.from(present).sort().map((s) => new Option(word(s), s)));
    statusBox.value = present.has(keep) ? keep : "";
    filter();
  };

  wireSort(list);
  list.tBodies[0].addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    if (row) select(row, true);
  });
  list.addEventListener("keydown", (event) => {
    const rows = visibleRows();
    const at = rows.indexOf(event.target.closest("tbody tr"));
    if (at < 0) return;
    const last = rows.length - 1;
    const next = { ArrowDown: at + 1, j: at + 1, ArrowUp: at - 1, k: at - 1, Home: 0, End: last, PageDown: at + 10, PageUp: at - 10 }[event.key];
    if (next !== undefined) {
      event.preventDefault();
      select(rows[Math.min(Math.max(next, 0), last)], true);
    } else if (event.key === "d") {
      mode = mode === "diff" ? "program" : "diff";
      select(rows[at], true);
    }
  });
  taskBox.addEventListener("change", () => open(Number(taskBox.value)));
  statusBox.addEventListener("change", filter);
  search.addEventListener("input", filter);
  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/" && !typing) {
      event.preventDefault();
      $("browse").scrollIntoView();
      search.focus();
    } else if (event.key === "Escape" && event.target === search) {
      search.value = "";
      filter();
    } else if (!typing && (event.key === "]" || event.key === "[")) {
      open((Number(taskBox.value) + (event.key === "]" ? 1 : data.length - 1)) % data.length);
    }
  });
  document.querySelectorAll("button.open").forEach((button) => {
    button.addEventListener("click", () => {
      const index = data.findIndex((task) => task.id === button.textContent);
      if (index >= 0) { open(index); $("browse").scrollIntoView(); list.tBodies[0].rows[0].focus({ preventScroll: true }); }
    });
  });
  open(Math.max(0, data.findIndex((task) => task.p.some((p) => p.st === "correct"))));
})();
