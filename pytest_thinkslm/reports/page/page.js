"use strict";
// The page of a run. Three parts: data that is unpacked when it is needed, the browser of items, plots and theme.
// Text of a model reaches the page as text nodes alone (h() below); nothing is parsed as HTML.
(() => {
  const ROW = 34; // height of a line of the list in pixels, as in page.css
  const KEPT = 6; // unpacked blocks that are kept
  const MOST = 8; // variants of an item side by side
  const $ = (id) => document.getElementById(id);

  // h("p", {class: "x"}, "text", node): an element with attributes and children; strings become text nodes.
  function h(name, attributes = {}, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value === true ? "" : value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  }

  // -- data ------------------------------------------------------------------------------------------------------
  const parsed = new Promise((resolve) => {
    if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", resolve, { once: true });
    else resolve();
  });

  // Elements follow one another in the file: one that is not there yet, or may still grow, is waited for.
  async function unpacked(id) {
    if (!$(id) || !$(id).nextElementSibling) await parsed;
    const text = $(id).textContent;
    const bytes = Uint8Array.fromBase64 ? Uint8Array.fromBase64(text) : Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).text();
  }

  let index, tables, columns; // see items.py
  let page; // {charts, sets, broke, variants}
  const blocks = new Map(); // number -> Promise of lines, in order of use

  function blockOf(row) {
    let low = 0, high = index.starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (index.starts[middle] <= row) low = middle; else high = middle - 1;
    }
    return low;
  }

  function block(number) {
    const lines = blocks.get(number) ?? unpacked(`block-${number}`).then((text) => text.split("\n"));
    blocks.delete(number);
    blocks.set(number, lines);
    if (blocks.size > KEPT) blocks.delete(blocks.keys().next().value);
    return lines;
  }

  async function record(row) {
    const number = blockOf(row);
    return JSON.parse((await block(number))[row - index.starts[number]]);
  }

  const value = (row, column) => (tables[column] ? tables[column][columns[column][row]] : columns[column][row]);
  const variant = (row) => `${value(row, "model")}|${value(row, "quant")}`;

  // The same question elsewhere, keyed by task, test, style, item, repeat and role; the run's first variant first.
  let twins;
  const question = (row) => ["task", "test", "style", "role", "stress", "repeat"].map((name) => columns[name][row]).join("|") + "|" + columns.item[row];
  function others(row) {
    if (!twins) {
      twins = new Map();
      for (let each = 0; each < index.count; each++) {
        const key = question(each), list = twins.get(key);
        if (list) list.push(each); else twins.set(key, [each]);
      }
    }
    const order = (each) => page.variants.indexOf(variant(each));
    return twins.get(question(row)).sort((one, other) => order(one) - order(other));
  }

  // -- filters and search ----------------------------------------------------------------------------------------
  const FILTERS = { variant: "variant", task: "task", style: "style", verdict: "verdict", rule: "rule", failure: "failure class", role: "role", transformation: "transformation", broke: "where it broke" };
  const filters = {}; // name -> wanted value, "" for all
  let chosenSet = null; // {title, rows: Set}
  let shown = []; // rows in the list
  let cursor = -1; // place in shown
  let opened = -1; // row in the detail
  let searching = 0; // number of the running search

  const read = (row, name) => {
    if (name === "variant") return variant(row);
    if (name === "transformation") return String(value(row, "stress") ?? "none").replace(/-\d+$/, "");
    if (name === "broke") return page.broke[row]?.name ?? "none";
    return String(value(row, name) ?? "none");
  };
  // What a changed form of an item (role "stress") is called: options-2.
  const asked = (row) => value(row, "stress") || (value(row, "role") === "item" ? "" : value(row, "role"));

  function makeSelects() {
    for (const [name, title] of Object.entries(FILTERS)) {
      const counts = new Map();
      for (let row = 0; row < index.count; row++) {
        const key = read(row, name);
        counts.set(key, (counts.get(key) ?? 0) + 1);
      }
      if (counts.size < 2) continue;
      const select = h("select", { id: `filter-${name}`, "data-filter": name }, h("option", { value: "" }, "all"));
      for (const [key, count] of counts) select.append(h("option", { value: key }, `${key.replace("|", ", ")} (${count})`));
      select.addEventListener("change", () => {
        filters[name] = select.value;
        if (name === "transformation" && select.value !== "" && select.value !== "none") {
          filters.role = "stress";
          $("filter-role").value = "stress";
        }
        remember();
        apply();
      });
      $("selects").append(h("label", {}, title, select));
    }
  }

  // Questions asked beside the items (role "seed") are shown on request.
  const standard = (name) => (name === "role" && tables.role.length > 1 ? "item" : "");

  async function setFilters(wanted) {
    if (wanted.formulas === "on") await setFormulas(true);
    chosenSet = null;
    for (const name of Object.keys(FILTERS)) {
      filters[name] = wanted[name] ?? standard(name);
      if ($(`filter-${name}`)) $(`filter-${name}`).value = filters[name];
    }
    $("search").value = wanted.q ?? "";
    if (wanted.set && page.sets[wanted.set]) chosenSet = { ...rowsOfSet(page.sets[wanted.set]), name: wanted.set };
    return apply();
  }

  // The filters as they stand in an address: name=value pairs; empty where nothing is filtered.
  function chosen() {
    const pairs = Object.entries(filters).filter(([name, wanted]) => wanted !== standard(name));
    if (chosenSet) pairs.push(["set", chosenSet.name]);
    if (typesetting) pairs.push(["formulas", "on"]);
    if ($("search").value.trim()) pairs.push(["q", $("search").value.trim()]);
    return pairs.map(([name, wanted]) => `${name}=${encodeURIComponent(wanted)}`).join("&");
  }

  const remember = () => history.replaceState(null, "", `#${chosen() || "items"}`);

  // LaTeX as formulas, or as it was written.
  let typesetting = false;
  let library;
  async function setFormulas(on) {
    if (on) library ??= unpacked("data-formulas").then(run);
    await library;
    typesetting = on;
    $("formulas").setAttribute("aria-pressed", String(on));
  }

  async function flipFormulas() {
    await setFormulas(!typesetting);
    if (opened >= 0) await open(opened); else remember();
  }

  // A vendored script runs at once; its hash is in the page's policy.
  function run(source) {
    const script = document.createElement("script");
    script.textContent = source;
    document.head.append(script);
  }

  // The listed items as lines of items.jsonl.
  async function save() {
    const parts = [];
    for (const row of shown) parts.push(`${JSON.stringify(await record(row))}\n`);
    const link = h("a", { href: URL.createObjectURL(new Blob(parts, { type: "application/jsonl" })), download: "items.jsonl" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  function rowsOfSet(set) {
    const keys = new Set(set.items.map((entry) => (typeof entry === "string" ? entry : JSON.stringify(entry))));
    const rows = new Set();
    for (let row = 0; row < index.count; row++) {
      const fields = ["model", "quant", "task", "test", "style"].map((name) => value(row, name));
      if (set.task === undefined) {
        if (keys.has(JSON.stringify([...fields, columns.item[row], columns.repeat[row]]))) rows.add(row);
      } else if (keys.has(columns.item[row]) && value(row, "role") === "item" && fields.join("\0") === [set.model, set.quant, set.task, set.test, set.style].join("\0")) rows.add(row);
    }
    return { title: set.title, rows };
  }

  function passing() {
    const active = Object.entries(filters).filter(([, wanted]) => wanted !== "");
    const rows = [];
    for (let row = 0; row < index.count; row++) {
      if (chosenSet && !chosenSet.rows.has(row)) continue;
      if (active.every(([name, wanted]) => read(row, name) === wanted)) rows.push(row);
    }
    return rows;
  }

  function total(role) {
    let found = 0;
    for (let row = 0; row < index.count; row++) found += role === "" || value(row, "role") === role;
    return found;
  }

  // Applies filters at once; a search then goes through the blocks and adds what it finds as it goes.
  async function apply() {
    const mine = ++searching;
    const words = $("search").value.trim().toLowerCase();
    const rows = passing();
    $("progress").hidden = !words;
    if (!words) {
      show(rows);
      status(`${count(rows.length)} of ${count(total(filters.role))} items`);
      return;
    }
    show([]);
    const byBlock = new Map();
    for (const row of rows) {
      const number = blockOf(row);
      if (byBlock.has(number)) byBlock.get(number).push(row); else byBlock.set(number, [row]);
    }
    // Lines are ASCII JSON: a plain word can be looked for before a line is parsed.
    const plain = /^[ !#-\[\]-~]*$/.test(words);
    let done = 0, drawn = performance.now();
    for (const [number, wanted] of byBlock) {
      const lines = await block(number);
      if (mine !== searching) return;
      for (const row of wanted) {
        const line = lines[row - index.starts[number]];
        if ((!plain || line.toLowerCase().includes(words)) && texts(JSON.parse(line)).some((text) => text.toLowerCase().includes(words))) shown.push(row);
      }
      done += 1;
      if (performance.now() - drawn > 80) {
        $("progress").value = done / byBlock.size;
        status(`${count(shown.length)} found so far, ${Math.floor((100 * done) / byBlock.size)}% searched`);
        draw();
        await new Promise((resolve) => setTimeout(resolve));
        if (mine !== searching) return;
        drawn = performance.now();
      }
    }
    $("progress").hidden = true;
    status(`${count(shown.length)} of ${count(rows.length)} items have “${words}”`);
    draw();
    document.dispatchEvent(new Event("thinkslm-searched"));
  }

  function texts(line) {
    const judge = line.judge ? [line.judge.reason, line.judge.answer] : [];
    return [line.output, line.reasoning, line.reason, show1(line.answer), show1(line.gold), ...judge, ...line.messages.map((message) => message.content)].filter((text) => typeof text === "string");
  }

  const count = (number) => number.toLocaleString("en");
  const status = (text) => { $("status").textContent = chosenSet ? `${chosenSet.title}: ${text}` : text; };

  // -- the list --------------------------------------------------------------------------------------------------
  function show(rows) {
    shown = rows;
    cursor = shown.indexOf(opened);
    $("list").scrollTop = Math.max(0, cursor * ROW - 3 * ROW);
    draw();
  }

  function draw() {
    const list = $("list"), holder = $("rows");
    holder.style.height = `${shown.length * ROW}px`;
    const first = Math.max(0, Math.floor(list.scrollTop / ROW) - 8);
    const last = Math.min(shown.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + 8);
    const several = tables.model.length > 1 || tables.quant.length > 1;
    holder.replaceChildren(...shown.slice(first, last).map((row, offset) => {
      const place = first + offset;
      const verdict = value(row, "verdict"), repeat = columns.repeat[row];
      const name = [value(row, "task"), ownName(row) ? "" : value(row, "test"), tables.style.length > 1 ? value(row, "style") : "", columns.item[row], repeat > 1 ? `r${repeat}` : "", asked(row)].filter(Boolean).join(" ");
      const answer = columns.answer[row] ?? "–", gold = columns.gold[row] ?? "–";
      const what = verdict === "correct" ? answer : `${answer} ≠ ${gold}`;
      const element = h("div", { class: "row", role: "option", id: `row-${place}`, "aria-selected": place === cursor ? "true" : "false", "aria-posinset": place + 1, "aria-setsize": shown.length, title: verdict },
        h("span", { class: `dot ${verdict}`, "aria-label": verdict, role: "img" }), h("span", { class: "name" }, name),
        several ? h("span", { class: "what" }, variantLabel(row)) : null, h("span", { class: "what", dir: "auto" }, what));
      element.style.top = `${place * ROW}px`;
      element.addEventListener("click", () => choose(place, true));
      return element;
    }));
    if (cursor >= first && cursor < last) list.setAttribute("aria-activedescendant", `row-${cursor}`);
    else list.removeAttribute("aria-activedescendant");
  }

  function variantLabel(row) {
    return [tables.model.length > 1 ? value(row, "model") : "", tables.quant.length > 1 ? value(row, "quant") : ""].filter(Boolean).join(", ");
  }

  let pending;
  function choose(place, now = false) {
    if (!shown.length) return;
    cursor = Math.max(0, Math.min(shown.length - 1, place));
    const list = $("list"), top = cursor * ROW;
    if (top < list.scrollTop) list.scrollTop = top;
    else if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
    draw();
    clearTimeout(pending);
    const row = shown[cursor];
    if (now) open(row); else pending = setTimeout(() => open(row), 70);
  }

  // -- one item --------------------------------------------------------------------------------------------------
  const ownName = (row) => value(row, "test") === `test_${value(row, "task")}`;
  const link = (row) => "#item=" + [value(row, "model"), value(row, "quant"), value(row, "task"), value(row, "style"), columns.item[row], String(columns.repeat[row]), ...(!asked(row) && ownName(row) ? [] : [asked(row) || "item"]), ...(ownName(row) ? [] : [value(row, "test")])].map((part) => encodeURIComponent(part).replace(/%(2F|2B|2C|3A)/g, decodeURIComponent)).join("|");

  async function open(row) {
    opened = row;
    history.replaceState(null, "", [link(row), chosen()].filter(Boolean).join("&"));
    const all = others(row), rows = all.slice(0, MOST);
    if (!rows.includes(row)) rows[MOST - 1] = row;
    const lines = await Promise.all(rows.map(record));
    if (opened !== row) return;
    const own = lines[rows.indexOf(row)];
    const words = $("search").value.trim().toLowerCase();
    const name = [own.task, ownName(row) ? "" : value(row, "test"), own.style, own.item, own.repeat > 1 ? `repeat ${own.repeat}` : "", asked(row)].filter(Boolean).join(" ");
    const prompts = new Set(lines.map((line) => JSON.stringify(line.messages)));
    $("detail").replaceChildren(
      h("h3", {}, name),
      h("p", { class: "quiet" }, facets(own), " ", h("a", { href: link(row) }, "link to this item")),
      ...(own.note ? [h("p", { class: "remark" }, own.note)] : []),
      ...(all.length > rows.length ? [h("p", { class: "quiet" }, `${rows.length} of ${all.length} variants, the opened one among them`)] : []),
      h("h4", {}, "gold"), valueText(own.gold, words),
      ...(prompts.size === 1 ? prompt(own, words) : []),
      h("div", { class: "columns" }, ...lines.map((line, place) => column(line, rows.length > 1, prompts.size > 1, words, beside(lines, place, own), page.broke[rows[place]]))),
    );
    if (typesetting) $("detail").querySelectorAll("pre").forEach(formulas.typeset);
    $("detail").scrollTop = 0;
    document.dispatchEvent(new CustomEvent("thinkslm-opened", { detail: row }));
  }

  // Where two texts begin to differ, at the start of that word; -1 where they do not.
  function difference(one, other) {
    if (typeof one !== "string" || typeof other !== "string" || one === other) return -1;
    let at = 0;
    while (at < one.length && at < other.length && one[at] === other[at]) at++;
    while (at > 0 && /\w/.test(one[at - 1])) at--;
    return at;
  }

  // The line that a column is held against: the first variant's; of that one itself the opened one's, or the other's.
  function beside(lines, place, own) {
    if (place) return lines[0];
    return lines[0] !== own ? own : lines.length === 2 ? lines[1] : null;
  }

  // What is marked in a field of a line: where it begins to differ from the other, and its first false step.
  function marksOf(line, other, broke, name) {
    const marks = [], content = line[name];
    if (typeof content !== "string") return marks;
    const at = other && (name === "reasoning" || (line.reasoning ?? "") === (other.reasoning ?? "")) ? difference(content, other[name]) : -1;
    if (at >= 0) marks.push({ start: at, end: Math.min(content.length, at + content.slice(at).search(/\w\W|$/) + 1), css: "differs", title: DIFFERS });
    const step = broke?.step;
    if (step?.field === name) marks.push({ start: step.start, end: step.end, css: "false", title: STEPS[step.kind] });
    return marks;
  }

  const DIFFERS = "the first difference from the other output";
  const STEPS = { equation: "the first false step: this equation is false", copied: "the first false step: the question has another number here" };

  // A <pre> with the text and its marks, which may lie in one another.
  function marked(content, marks) {
    const cuts = [0, content.length, ...marks.flatMap(({ start, end }) => [start, end])].sort((a, b) => a - b);
    const parts = cuts.slice(1).map((end, place) => {
      const within = marks.filter((mark) => mark.start <= cuts[place] && end <= mark.end && cuts[place] < end);
      const piece = content.slice(cuts[place], end);
      return within.length ? h("mark", { class: within.map((mark) => mark.css).join(" "), title: within.map((mark) => mark.title).join("; ") }, piece) : piece;
    });
    if (marks.some((mark) => mark.start >= content.length)) parts.push(h("mark", { class: "differs", title: DIFFERS }, "(ends here)"));
    return h("pre", { dir: "auto" }, ...parts);
  }

  // The class of a wrong output; its false step is one click away.
  function brokeFact(broke) {
    if (!broke) return null;
    const jump = broke.step ? h("button", { type: "button", class: "jump" }, "show the first false step") : null;
    jump?.addEventListener("click", () => jump.closest("section").querySelector("mark.false")?.scrollIntoView({ block: "center" }));
    return h("p", { class: "quiet" }, `broke: ${broke.name}`, jump ? " " : null, jump);
  }

  function column(line, titled, withPrompt, words, other, broke) {
    const shownAs = (name, missing) => (words || typeof line[name] !== "string" ? text(line[name] ?? missing, words) : marked(line[name], marksOf(line, other, broke, name)));
    const judge = line.judge;
    const facts = [line.rule ? `rule: ${line.rule}` : "", line.failure ? `failure: ${line.failure}` : "", line.finish_reason ? `finish: ${line.finish_reason}` : "", line.output_tokens === null ? "" : `${line.output_tokens} tokens`, line.grading_timeout ? "grading timed out" : ""].filter(Boolean).join(", ");
    return h("section", { "aria-label": `${line.model} ${line.quant}` },
      titled ? h("h3", {}, `${line.model}, ${line.quant}`) : null,
      h("p", {}, h("span", { class: `verdict ${line.verdict}` }, line.verdict), " ", line.reason ?? ""),
      h("div", { class: "pair" },
        h("div", {}, h("h4", {}, "answer"), valueText(line.answer, words)),
        judge ? h("div", {}, h("h4", {}, "judge"), text(judgeText(line), words)) : null),
      h("p", { class: "quiet" }, facts), words ? null : brokeFact(broke),
      ...(withPrompt ? prompt(line, words) : []),
      ...(line.reasoning ? [h("h4", {}, "thought"), shownAs("reasoning")] : []),
      h("h4", {}, "output"), shownAs("output", "no output"));
  }

  function prompt(line, words) {
    const turns = line.messages.map((message) => h("div", { class: "turn" }, h("b", {}, message.role), text(message.content, words)));
    if (!turns.length) return [h("h4", {}, "prompt"), h("p", { class: "quiet" }, "none")];
    // Exemplars of few-shot prompts are folded away: the question is the last turn.
    const earlier = turns.slice(0, -1);
    const folded = earlier.length ? [h("details", {}, h("summary", {}, `${earlier.length} turns before it`), ...earlier)] : [];
    return [h("h4", {}, "prompt"), ...folded, turns[turns.length - 1]];
  }

  function judgeText(line) {
    const verdict = line.judge.verdict ?? line.judge.status;
    const answer = line.judge.answer === null || line.judge.answer === undefined ? "" : `\nanswer: ${show1(line.judge.answer)}`;
    const parser = line.parser_verdict ? `\nparser: ${line.parser_verdict}, decided by the ${line.source}` : "";
    return `${verdict}${answer}${line.judge.reason ? `\n${line.judge.reason}` : ""}${parser}`;
  }

  const facets = (line) => Object.entries(line.facets ?? {}).map(([name, each]) => `${name}: ${each}`).join(", ");

  function show1(each) {
    if (each === null || each === undefined) return "none";
    if (Array.isArray(each)) return `[${each.join(", ")}]`;
    if (typeof each === "object") return Object.entries(each).map(([name, part]) => `${name.replaceAll("_", " ")}: ${part ?? "–"}`).join("\n");
    return String(each);
  }

  function valueText(each, words) {
    const element = text(show1(each), words);
    element.classList.add("value");
    return element;
  }

  // A <pre> with the text; what is searched for is marked.
  function text(content, words) {
    const element = h("pre", { dir: "auto" });
    const lower = content.toLowerCase();
    if (!words || lower.length !== content.length) { element.append(content); return element; }
    let from = 0;
    for (let at = lower.indexOf(words), marks = 0; at >= 0 && marks < 200; at = lower.indexOf(words, from), marks++) {
      element.append(content.slice(from, at), h("mark", {}, content.slice(at, at + words.length)));
      from = at + words.length;
    }
    element.append(content.slice(from));
    return element;
  }

  // -- addresses -------------------------------------------------------------------------------------------------
  // #item=model|quant|task|style|0017|1 (and |role or changed form|test where they need naming) opens an item; #task=…&verdict=…&set=…&q=… sets filters; others are sections.
  async function follow() {
    const hash = location.hash.slice(1);
    if (hash.startsWith("item=")) {
      const [raw, ...kept] = hash.slice(5).split("&");
      if (kept.length) await setFilters(pairsOf(kept));
      const parts = raw.includes("|") ? raw.split("|").map(decode) : decode(raw).split("|");
      const row = find(parts);
      $("items").scrollIntoView();
      if (row < 0) {
        $("detail").replaceChildren(h("p", { class: "remark" }, `This run has no item ${parts.join(" ")}.`));
        return;
      }
      let place = shown.indexOf(row);
      if (place < 0) { await setFilters({ role: value(row, "role") }); place = shown.indexOf(row); }
      choose(place, true);
    } else if (hash.includes("=")) {
      const wanted = pairsOf(hash.split("&"));
      if (wanted.model !== undefined) wanted.variant = `${wanted.model}|${wanted.quant}`;
      $("items").scrollIntoView();
      await setFilters(wanted);
      $("list").focus({ preventScroll: true });
    }
  }

  const pairsOf = (parts) => Object.fromEntries(parts.map((pair) => { const at = pair.indexOf("="); return [pair.slice(0, at), decode(pair.slice(at + 1))]; }));

  function decode(part) {
    try { return decodeURIComponent(part); } catch { return part; }
  }

  function find([model, quant, task, style, item, repeat = "1", role = "item", test]) {
    const name = /^\d+$/.test(item ?? "") ? item.padStart(4, "0") : item;
    for (let row = 0; row < index.count; row++) {
      if (columns.item[row] === name && String(columns.repeat[row]) === repeat && value(row, "task") === task && value(row, "style") === style && value(row, "model") === model && value(row, "quant") === quant && (asked(row) || "item") === role && (test === undefined || value(row, "test") === test)) return row;
    }
    return -1;
  }

  // -- keyboard --------------------------------------------------------------------------------------------------
  function pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
    const target = event.target;
    const typing = target.matches("input, select, textarea");
    if (event.key === "Escape") {
      if (target === $("search") && $("search").value) { $("search").value = ""; remember(); apply(); }
      else if ($("items").contains(target)) $("list").focus();
      event.preventDefault();
      return;
    }
    if (target === $("search") && (event.key === "Enter" || event.key === "ArrowDown")) {
      $("list").focus();
      choose(Math.max(cursor, 0));
      event.preventDefault();
      return;
    }
    if (typing) return;
    const inList = target === $("list");
    const page = Math.max(1, Math.floor($("list").clientHeight / ROW) - 1);
    const keys = {
      "/": () => { $("items").scrollIntoView(); $("search").focus(); $("search").select(); },
      "?": () => $("help").showModal(),
      t: flip,
      m: flipFormulas,
      j: () => move(1),
      k: () => move(-1),
      ...(inList ? {
        ArrowDown: () => choose(cursor + 1), ArrowUp: () => choose(cursor - 1), PageDown: () => choose(cursor + page), PageUp: () => choose(cursor - page),
        Home: () => choose(0), End: () => choose(shown.length - 1),
        Enter: () => { clearTimeout(pending); if (cursor >= 0) open(shown[cursor]).then(() => { $("detail").focus(); $("detail").scrollIntoView({ block: "nearest" }); }); },
      } : {}),
    };
    if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
  }

  function move(step) {
    if (!$("items").contains(document.activeElement)) { $("items").scrollIntoView(); $("list").focus({ preventScroll: true }); }
    choose(cursor + step);
  }

  // -- theme and plots -------------------------------------------------------------------------------------------
  const dark = matchMedia("(prefers-color-scheme: dark)");
  let picked = null; // the reader's own choice
  const theme = () => picked ?? (dark.matches ? "dark" : "light");
  function paint() {
    document.documentElement.dataset.theme = theme();
    if (window.vegaEmbed) plot();
  }
  function flip() {
    picked = theme() === "dark" ? "light" : "dark";
    paint();
  }

  // Columns of a legend are set by the width at hand: a legend that grows while it is laid out is cut.
  function config(width) {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const font = getComputedStyle(document.body).fontFamily;
    const words = { labelFlush: false, labelColor: colour("--text"), titleColor: colour("--quiet"), labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal" };
    return {
      background: "transparent", font, view: { stroke: null },
      axis: { ...words, gridColor: colour("--line"), domainColor: colour("--line"), tickColor: colour("--line") },
      axisY: { labelLimit: Math.min(200, 0.36 * width) },
      legend: { ...words, labelFlush: undefined, orient: "top", symbolType: "circle", symbolOpacity: 1, symbolBaseFillColor: colour("--quiet"), symbolBaseStrokeColor: colour("--quiet"), columns: Math.max(1, Math.floor((0.6 * width) / 125)) },
      rule: { color: colour("--quiet") },
    };
  }

  let drawing = 0;
  async function plot() {
    const mine = ++drawing;
    for (const { name, spec } of page.charts) {
      const place = document.querySelector(`[data-chart="${CSS.escape(name)}"]`);
      await window.vegaEmbed(place, structuredClone(spec), { mode: "vega-lite", ast: true, renderer: "svg", actions: { export: true, source: false, compiled: false, editor: false }, downloadFileName: name, config: config(place.clientWidth) });
      place.style.minHeight = "";
      await new Promise((resolve) => setTimeout(resolve));
      if (mine !== drawing) return;
    }
    document.dispatchEvent(new Event("thinkslm-plotted"));
    document.documentElement.dataset.plotted = theme();
  }

  async function loadPlots() {
    run(await unpacked("data-vendor"));
    await plot();
  }

  // -- start -----------------------------------------------------------------------------------------------------
  async function start() {
    paint();
    dark.addEventListener("change", paint);
    $("theme").addEventListener("click", flip);
    $("help-open").addEventListener("click", () => $("help").showModal());
    [index, page] = (await Promise.all([unpacked("data-index"), unpacked("data-page")])).map((json) => JSON.parse(json));
    ({ tables, columns } = index);
    makeSelects();
    let waiting;
    $("search").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(() => { remember(); apply(); }, 180); });
    $("save").addEventListener("click", save);
    $("formulas").addEventListener("click", flipFormulas);
    $("filters").addEventListener("submit", (event) => event.preventDefault());
    $("filters").addEventListener("reset", (event) => { event.preventDefault(); setFilters({}).then(remember); });
    let frame = 0;
    $("list").addEventListener("scroll", () => { frame ||= requestAnimationFrame(() => { frame = 0; draw(); }); });
    addEventListener("resize", draw);
    document.addEventListener("keydown", pressed);
    addEventListener("hashchange", follow);
    await setFilters({});
    document.documentElement.dataset.usable = String(Math.round(performance.now()));
    await follow();
    await parsed;
    await loadPlots();
  }

  start().catch((error) => {
    $("status").textContent = `The data of this page cannot be shown: ${error}`;
    throw error;
  });
})();
