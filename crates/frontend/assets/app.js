// Keeps an open page up to date: asks for the same address again when something changed, and changes only what
// differs. The server says when (/events); where it does not, the page asks now and then.
// Without this script the page shows the same, until it is reloaded.
"use strict";

const USUAL_PAUSE = 2_000; // milliseconds, while the server answers
const LONGEST_PAUSE = 30_000; // milliseconds, while it does not
const ANSWER_WITHIN = 10_000; // milliseconds

let etag = null;
let pause = USUAL_PAUSE;
let timer;
let asking = false;
let changed = true; // whether something may differ from what is shown
let news = null; // the connection over which the server says so

const main = () => document.querySelector("main");
const isLive = () => "live" in main().dataset;
const isHeard = () => news?.readyState === EventSource.OPEN;

function say(words) {
  const news = document.getElementById("news");
  // Saying the same again would make a screen reader repeat it.
  if (news.textContent !== words) news.textContent = words;
}

function appear(row) {
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  row.animate([{ opacity: 0.2 }, { opacity: 1 }], 600);
}

// Both lists are in the same order. Rows that stay the same are not touched, so that scroll position, selection and
// focus stay where they are.
function updateRows(list, rows) {
  const ids = new Set(rows.map((row) => row.id));
  for (const row of [...list.children]) if (!ids.has(row.id)) row.remove();
  rows.forEach((row, index) => {
    const here = list.children[index];
    if (here?.isEqualNode(row)) return;
    const focused = here?.id === row.id && here.contains(document.activeElement);
    if (here?.id === row.id) here.replaceWith(row);
    else list.insertBefore(row, here ?? null);
    if (focused) row.querySelector("a, button")?.focus({ preventScroll: true });
    appear(row);
  });
}

// A filter that is being filled in, an upload, what a script has filled, and what is the same stay as they are.
function updateSections(here, next) {
  const [old, fresh] = [[...here.children], [...next.children]];
  const same = old.length === fresh.length && old.every((part, at) => part.tagName === fresh[at].tagName);
  if (!same) return here.replaceWith(next);
  old.forEach((part, at) => {
    if (part.tagName === "FORM" || "own" in part.dataset || part.isEqualNode(fresh[at])) return;
    const rows = part.matches("[data-rows]") ? part : part.querySelector("[data-rows]");
    const freshRows = fresh[at].matches("[data-rows]") ? fresh[at] : fresh[at].querySelector("[data-rows]");
    if (rows && freshRows) return updateRows(rows, [...freshRows.children]);
    const focused = part.contains(document.activeElement) ? document.activeElement.id : null;
    part.replaceWith(fresh[at]);
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  });
  here.toggleAttribute("data-live", "live" in next.dataset);
}

async function ask() {
  const headers = { Accept: "text/html" };
  if (etag) headers["If-None-Match"] = etag;
  const answer = await fetch(location.href, { headers, signal: AbortSignal.timeout(ANSWER_WITHIN) });
  if (answer.status === 304) return;
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  const html = await answer.text();
  updateSections(main(), new DOMParser().parseFromString(html, "text/html").querySelector("main"));
  etag = answer.headers.get("ETag");
}

async function turn() {
  asking = true;
  changed = false;
  try {
    await ask();
    pause = USUAL_PAUSE;
    say("");
  } catch {
    changed = true;
    pause = Math.min(pause * 2, LONGEST_PAUSE);
    say("No new data at the moment. Trying again by itself.");
  }
  asking = false;
  plan(pause);
}

// At most one question at a time, and none that nobody would see, or that would bring nothing new.
function plan(after) {
  clearTimeout(timer);
  if (!asking && isLive() && !document.hidden && (changed || !isHeard())) timer = setTimeout(turn, after);
}

// Looks at once: something was just changed here.
function refresh() {
  changed = true;
  plan(0);
}

function listen() {
  if (!isLive() || document.hidden) return;
  news = new EventSource("/events");
  news.onmessage = () => {
    const known = changed;
    changed = true;
    // A burst of changes is looked at once, and not by all pages in the same moment.
    if (!known || !timer) plan(200 + Math.random() * 300);
  };
  news.onerror = () => plan(pause);
}

// A browser has six connections to a host: pages that nobody looks at leave them to others.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return news?.close();
  listen();
  refresh();
});
window.addEventListener("online", () => plan(0));
plan(USUAL_PAUSE);
listen();
