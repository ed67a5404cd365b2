// Keeps an open page up to date: asks for the same address again, and changes only the rows that differ.
// Without it the page shows the same, until it is reloaded.
"use strict";

const USUAL_PAUSE = 2_000; // milliseconds, while the server answers
const LONGEST_PAUSE = 30_000; // milliseconds, while it does not
const ANSWER_WITHIN = 10_000; // milliseconds

let etag = null;
let pause = USUAL_PAUSE;
let timer;
let asking = false;

const main = () => document.querySelector("main");
const isLive = () => "live" in main().dataset;

function say(words) {
  const news = document.getElementById("news");
  // Saying the same again would make a screen reader repeat it.
  if (news.textContent !== words) news.textContent = words;
}

function appear(row) {
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  row.animate([{ opacity: 0.2 }, { opacity: 1 }], 600);
}

// Both lists are sorted by id, newest first. Rows that stay the same are not touched, so that scroll
// position, selection and focus stay where they are.
function updateRows(body, rows) {
  const ids = new Set(rows.map((row) => row.id));
  for (const row of [...body.rows]) if (!ids.has(row.id)) row.remove();
  rows.forEach((row, index) => {
    const here = body.rows[index];
    if (here?.isEqualNode(row)) return;
    if (here?.id === row.id) here.replaceWith(row);
    else body.insertBefore(row, here ?? null);
    appear(row);
  });
}

function updateLinks(next) {
  const [here, there] = [main().querySelector("nav"), next.querySelector("nav")];
  if (here && there && here.isEqualNode(there)) return;
  const focused = here?.contains(document.activeElement) ? document.activeElement.id : null;
  here?.remove();
  if (there) main().append(there);
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
}

function update(html) {
  const next = new DOMParser().parseFromString(html, "text/html").querySelector("main");
  const [here, there] = [main().querySelector("tbody"), next.querySelector("tbody")];
  if (here && there) {
    updateRows(here, [...there.rows]);
    updateLinks(next);
    main().toggleAttribute("data-live", "live" in next.dataset);
  } else {
    main().replaceWith(next);
  }
}

async function ask() {
  const headers = { Accept: "text/html" };
  if (etag) headers["If-None-Match"] = etag;
  const answer = await fetch(location.href, { headers, signal: AbortSignal.timeout(ANSWER_WITHIN) });
  if (answer.status === 304) return;
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  update(await answer.text());
  etag = answer.headers.get("ETag");
}

async function turn() {
  asking = true;
  try {
    await ask();
    pause = USUAL_PAUSE;
    say("");
  } catch {
    pause = Math.min(pause * 2, LONGEST_PAUSE);
    say("No new data at the moment. Trying again by itself.");
  }
  asking = false;
  plan(pause);
}

// At most one question at a time, and none that nobody would see.
function plan(after) {
  clearTimeout(timer);
  if (!asking && isLive() && !document.hidden) timer = setTimeout(turn, after);
}

document.addEventListener("visibilitychange", () => plan(0));
window.addEventListener("online", () => plan(0));
plan(USUAL_PAUSE);
