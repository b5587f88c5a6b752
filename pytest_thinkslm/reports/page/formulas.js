"use strict";
// LaTeX in the texts of an item as formulas, on demand. KaTeX (in the page, compressed) makes MathML of them, which
// browsers draw by themselves: no fonts, no style sheet, no HTML. Whatever it refuses stays as it was written.
const formulas = (() => {
  const LONGEST = 2000; // characters of a formula, beyond which it stays as written
  const MOST = 400; // formulas of a text that are drawn
  // What a text may not do: define macros, by which a short text becomes a long one.
  const DEFINES = /\\(?:[egx]?def|let|futurelet|global|newcommand|renewcommand|providecommand)(?![a-zA-Z])/;
  const OPTIONS = { output: "mathml", trust: false, maxExpand: 300, maxSize: 20, strict: "ignore", throwOnError: true };
  const CLOSERS = { "\\(": "\\)", "\\[": "\\]", $$: "$$" };

  // The text as pieces, in order: {text} as it stands, or {text, tex, display} of a formula. Linear in its length.
  function pieces(text) {
    const found = [];
    const next = {}; // the next place of each closing mark: looked for once
    let from = 0, made = 0;
    const closer = (mark, at) => {
      if (next[mark] === undefined || (next[mark] >= 0 && next[mark] < at)) next[mark] = text.indexOf(mark, at);
      return next[mark];
    };
    const take = (start, end, tex, display) => {
      if (start > from) found.push({ text: text.slice(from, start) });
      found.push({ text: text.slice(start, end), tex, display });
      from = end;
      made += 1;
      return end;
    };
    for (let at = 0; at < text.length && made < MOST;) {
      const char = text[at];
      if (char !== "\\" && char !== "$") { at += 1; continue; }
      const mark = text.slice(at, at + 2);
      let end = -1;
      if (CLOSERS[mark]) {
        end = closer(CLOSERS[mark], at + 2);
        if (end > at + 2 && end - at <= LONGEST) { at = take(at, end + 2, text.slice(at + 2, end), mark !== "\\("); continue; }
      } else if (char === "$") {
        end = dollar(text, at + 1);
        if (end > 0) { at = take(at, end + 1, text.slice(at + 1, end), false); continue; }
      } else if (text.startsWith("\\boxed{", at) || text.startsWith("\\begin{", at)) {
        end = mark === "\\b" && text[at + 2] === "o" ? balanced(text, at + 6) : environment(text, at, closer);
        // An empty box is where an answer is asked for.
        if (end > 0 && !/^\\boxed\{\s*\}$/.test(text.slice(at, end))) { at = take(at, end, text.slice(at, end), text[at + 2] === "e"); continue; }
      }
      at += char === "\\" ? 2 : mark === "$$" ? 2 : 1;
    }
    if (from < text.length) found.push({ text: text.slice(from) });
    return found;
  }

  // The end of $...$ by Pandoc's rule, which prices pass: no space inside at either end, no digit after it; one line.
  function dollar(text, start) {
    if (!text[start] || /\s/.test(text[start])) return -1;
    for (let at = start; at < text.length && at - start <= 400; at++) {
      if (text[at] === "\n") return -1;
      if (text[at] === "\\") at += 1;
      else if (text[at] === "$") {
        if (/\s/.test(text[at - 1]) || /\d/.test(text[at + 1] ?? "")) continue;
        return at > start ? at : -1;
      }
    }
    return -1;
  }

  // The place after the brace that closes the one at start.
  function balanced(text, start) {
    let depth = 0;
    for (let at = start; at < text.length && at - start <= LONGEST; at++) {
      if (text[at] === "\\") at += 1;
      else if (text[at] === "{") depth += 1;
      else if (text[at] === "}" && --depth === 0) return at + 1;
    }
    return -1;
  }

  // The place after \end{NAME} of the environment that begins at start.
  function environment(text, start, closer) {
    const name = /^\\begin\{([a-zA-Z]{1,20}\*?)\}/.exec(text.slice(start, start + 30))?.[1];
    if (!name) return -1;
    const end = closer(`\\end{${name}}`, start);
    return end > 0 && end - start <= LONGEST ? end + name.length + 6 : -1;
  }

  // The formula as an element, or null where it cannot be drawn.
  function drawn(tex, display) {
    if (tex.length > LONGEST || DEFINES.test(tex)) return null;
    const element = document.createElement(display ? "div" : "span");
    element.className = "formula";
    try {
      window.katex.render(tex, element, { ...OPTIONS, displayMode: display });
    } catch {
      return null;
    }
    return element;
  }

  // Draws the formulas of an element's text; those of which something is marked (a search, a difference) stay as written.
  // A value (class "value": a gold, an answer) is a formula as a whole where it holds LaTeX without marks around it.
  function typeset(element) {
    const content = element.textContent;
    let parts = pieces(content);
    if (element.classList.contains("value") && parts.length === 1 && !parts[0].tex && /[\\^_]/.test(content)) parts = [{ text: content, tex: content, display: true }];
    let from = 0, place = 0, start = 0; // of the node in the text; of the piece
    for (const node of [...element.childNodes]) {
      const end = from + node.textContent.length, made = [];
      let at = from;
      for (; place < parts.length && start + parts[place].text.length <= end; start += parts[place++].text.length) {
        const { text, tex, display } = parts[place];
        made.push((tex && start >= from && drawn(tex, display)) || content.slice(at, start + text.length));
        at = start + text.length;
      }
      made.push(content.slice(at, end));
      if (node.nodeType === Node.TEXT_NODE) node.replaceWith(...made);
      from = end;
    }
    element.classList.add("typeset");
  }

  return { pieces, typeset };
})();
