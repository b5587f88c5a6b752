// The page of `thinkslm label --web`. Texts are hostile: they are only ever set as text.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const QUESTIONS = { label: "Is the output's final answer what gold says?", reason: "Is the error that the output names the true one?" };
  const YES_NO = { correct: "yes", incorrect: "no" }; // what the answers to the question of the reason are called
  const KEYS = { c: "correct", i: "incorrect", u: "unclear" };
  let outputs = 0, position = null, item = null, busy = false, over = false, typesetting = true;

  async function ask(path, said) {
    const options = said === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(said) };
    const answer = await fetch(path, { ...options, credentials: "omit", redirect: "error" });
    const value = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Error(value.error || `the server answered ${answer.status}`);
    return value;
  }

  // Requests take turns: a key that is pressed before the next output is on the screen is no answer to it.
  async function during(work) {
    if (busy || over) return;
    busy = true;
    buttons();
    try {
      await work();
      $("problem").hidden = true;
    } catch (error) {
      const gone = error instanceof TypeError;
      $("problem").textContent = gone ? "The server is gone: start `thinkslm label` again; every answer before this one is saved." : error.message;
      $("problem").hidden = false;
      $("item").scrollTop = 0;
    } finally {
      busy = false;
      buttons();
    }
  }

  function buttons() {
    const shown = item !== null && !over;
    for (const button of document.querySelectorAll("#answers button")) {
      button.disabled = busy || !shown;
      button.querySelector("span").textContent = (shown && asked() === "reason" && YES_NO[button.dataset.answer]) || button.dataset.answer;
      button.setAttribute("aria-pressed", String(shown && item[asked()] === button.dataset.answer));
    }
    $("back").disabled = busy || over || outputs === 0 || position === 0;
    for (const id of ["skip", "annotate"]) $(id).disabled = busy || !shown;
    $("finish").disabled = busy || over;
  }

  // What the next answer is to. Of a done output the label is asked again, and then its reason.
  const asked = () => (item.asked === "reason" || item.again === "reason" ? "reason" : "label");

  function progress(state) {
    outputs = state.outputs;
    $("bar").max = Math.max(1, outputs);
    $("bar").value = state.done;
    const where = position === null ? "" : `${position + 1}/${outputs} · `;
    $("place").textContent = `${where}${state.done} labelled`;
    if (state.name) document.title = `Labelling ${state.name}`, $("file").textContent = state.name;
  }

  async function open(place, state, again) {
    position = place;
    item = place === null ? null : { ...(await ask(`items/${place}`)), again };
    progress(state);
    $("parts").hidden = item === null;
    $("end").hidden = item !== null;
    $("note").hidden = true;
    show();
    say();
    // What a reason is held against stands at the end, behind the output's own.
    $("item").scrollTop = item !== null && asked() === "reason" ? $("item").scrollHeight : 0;
  }

  // The texts, with their formulas drawn or as they were written.
  function show() {
    $("task").textContent = item === null ? "" : item.task;
    for (const name of ["question", "output", "gold"]) {
      $(name).textContent = item === null ? "" : item[name] || "(empty)";
      if (typesetting) formulas.typeset($(name));
    }
  }

  function flipFormulas() {
    typesetting = !typesetting;
    $("formulas").setAttribute("aria-pressed", String(typesetting));
    show();
  }

  function say() {
    if (item === null) { $("asked").textContent = ""; return; }
    const before = item[asked()], note = item.note ? ` · note: ${item.note}` : "";
    $("asked").textContent = QUESTIONS[asked()] + (before ? ` (so far: ${(asked() === "reason" && YES_NO[before]) || before})` : "") + note;
  }

  const answer = (word) => during(async () => {
    if (item === null) return;
    const to = asked(), place = position;
    const state = await ask(`items/${place}`, { [to]: word });
    await open(state.next, state, state.next === place && to === "label" ? "reason" : undefined);
  });

  const back = () => during(async () => {
    await open(position === null ? outputs - 1 : Math.max(0, position - 1), await ask("state"));
  });

  const skip = () => during(async () => {
    if (item !== null) await open((position + 1) % outputs, await ask("state"));
  });

  function annotate() {
    if (item === null || busy || over) return;
    $("note").hidden = false;
    $("note-text").value = item.note;
    $("note-text").focus();
  }

  const finish = () => during(async () => {
    await ask("end", {});
    over = true;
    item = null;
    $("parts").hidden = true;
    $("end").hidden = false;
    $("end").querySelector("h1").textContent = "Finished";
    $("asked").textContent = "The server has ended; you can close this page. The same command goes on from here.";
  });

  for (const button of document.querySelectorAll("#answers button")) button.addEventListener("click", () => answer(button.dataset.answer));
  $("back").addEventListener("click", back);
  $("skip").addEventListener("click", skip);
  $("annotate").addEventListener("click", annotate);
  $("finish").addEventListener("click", finish);
  $("formulas").addEventListener("click", flipFormulas);
  $("note").addEventListener("submit", (event) => {
    event.preventDefault();
    during(async () => {
      const note = $("note-text").value;
      progress(await ask(`items/${position}`, { note }));
      item.note = note;
      $("note").hidden = true;
      $("item").focus();
      say();
    });
  });
  $("note-text").addEventListener("keydown", (event) => { if (event.key === "Escape") { $("note").hidden = true; $("item").focus(); } });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.target === $("note-text")) return;
    const key = event.key.toLowerCase();
    const act = KEYS[key] ? () => answer(KEYS[key]) : { b: back, s: skip, n: annotate, m: flipFormulas, q: finish }[key];
    if (!act) return;
    event.preventDefault();
    act();
  });

  during(async () => {
    const state = await ask("state");
    await open(state.next, state);
  });
})();
