// Keeps an open page up to date: asks for the same address again when something changed, and changes only what
// differs. The server says when (/events); where it does not, the page asks now and then.
// Without this script the page shows the same, until it is reloaded.
"use strict";

const USUAL_PAUSE = 2_000; // milliseconds, while the server answers
const LONGEST_PAUSE = 30_000; // milliseconds, while it does not
const ANSWER_WITHIN = 10_000; // milliseconds

const ADDRESS = location.href; // of what the page shows, also while a picture lies over it and has the address
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

// By the size of placeholder.svg.
const isPlaceholder = ({ naturalWidth, naturalHeight }) => naturalWidth === 640 && naturalHeight === 480;

// The picture may be there now. A browser does not ask again for an address that the page has shown already.
async function askAgain(picture) {
  const address = picture.getAttribute("src");
  const answer = await fetch(address, { cache: "reload" }).catch(() => null);
  await answer?.blob();
  if (answer?.ok) picture.src = address;
}

const controls = (row) => [...row.querySelectorAll("a, button, input")];
const ROW = "[data-rows] > *";

// A form that somebody fills in, and what a script has filled, stay as they are.
const isTypedInto = ({ elements }) => [...elements].some(({ type, value }) => type === "text" && value);
const stays = (part) =>
  (part.tagName === "FORM" && (part.parentNode === main() || isTypedInto(part))) || "own" in (part.dataset ?? {});

// So does what somebody has selected or opened.
const KEPT_ATTRIBUTES = ["checked", "open"];

// Changes what differs, and nothing else: scroll position, selection and focus stay where they are.
function show(next) {
  const row = document.activeElement?.closest(ROW);
  const at = row ? controls(row).indexOf(document.activeElement) : -1;
  const altered = [];
  Idiomorph.morph(main(), next.childNodes, {
    morphStyle: "innerHTML",
    callbacks: {
      beforeNodeMorphed: (node, fresh) => {
        if (stays(node)) return false;
        if (node.matches?.(`${ROW}, article`) && node.textContent !== fresh.textContent) altered.push(node);
        return true;
      },
      beforeAttributeUpdated: (name) => !KEPT_ATTRIBUTES.includes(name),
      afterNodeAdded: (node) => node.matches?.(ROW) && appear(node),
    },
  });
  for (const part of altered) {
    if (part.matches(ROW)) appear(part);
    for (const picture of part.querySelectorAll("img")) if (isPlaceholder(picture)) askAgain(picture);
  }
  // The control that had the focus may be gone: the row has others.
  if (at >= 0 && row.isConnected && document.activeElement === document.body)
    (controls(row)[at] ?? controls(row)[0])?.focus({ preventScroll: true });
}

const fresh = document.getElementById("fresh");
let isFreshWanted = false; // the button was pressed
const cardsOf = (page) => [...page.querySelectorAll(".day .card")];

// New pictures would push away those that are being looked at: they are left out of the new page, and wait behind a button.
// What they have pushed off the end of a full page stays. How many wait.
async function holdBack(next) {
  const [here, there] = [main(), next].map(cardsOf);
  if (!fresh || isFreshWanted || !here.length) return 0;
  const [shown, told] = [here, there].map((cards) => new Set(cards.map(({ id }) => id)));
  const last = there.findLastIndex(({ id }) => shown.has(id));
  const held = there.filter(({ id }, at) => !shown.has(id) && (last < 0 || at < last));
  if (!held.length) return 0;
  const end = here.findLastIndex(({ id }) => told.has(id)) + 1;
  const pushed = await onOlderPage(next, here.slice(end, end + held.length));
  // Where nothing would be left, what is new is better than nothing.
  if (isFreshWanted || (held.length === there.length && !pushed.length)) return 0;
  const after = there.at(-1).closest(".day").nextElementSibling;
  for (const card of held) {
    const day = card.closest(".day");
    card.remove();
    if (!day.querySelector(".card")) day.remove();
  }
  for (const card of pushed) {
    const day = card.closest(".day");
    let rows = next.querySelector(`[id="${day.id}"] [data-rows]`);
    if (!rows) {
      const copy = day.cloneNode(true);
      rows = copy.querySelector("[data-rows]");
      rows.replaceChildren();
      next.insertBefore(copy, after);
    }
    rows.append(card);
  }
  return held.length;
}

// The same cards as they are now, on the page after this one.
async function onOlderPage(page, cards) {
  const older = page.querySelector("#older");
  if (!older || !cards.length) return [];
  const ids = new Set(cards.map(({ id }) => id));
  return cardsOf((await read(older.href)).page).filter(({ id }) => ids.has(id));
}

function showFresh(count) {
  if (!fresh) return;
  if (!count) isFreshWanted = false;
  fresh.hidden = !count;
  fresh.textContent = `${count} new`;
}

fresh?.addEventListener("click", () => {
  isFreshWanted = true;
  etag = null;
  scrollTo({ top: 0 });
  main().focus({ preventScroll: true });
  refresh();
});

async function read(address, headers = {}) {
  const init = { headers: { Accept: "text/html", ...headers }, signal: AbortSignal.timeout(ANSWER_WITHIN) };
  const answer = await fetch(address, init);
  if (answer.status === 304) return null;
  // What the page was about may be gone, and may come back: a cluster all of whose faces were named, and an undo.
  if (!answer.ok && answer.status !== 404) throw new Error(`status ${answer.status}`);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
  return { page, version: answer.headers.get("ETag") };
}

async function ask() {
  const next = await read(ADDRESS, etag ? { "If-None-Match": etag } : {});
  if (!next) return;
  const held = await holdBack(next.page);
  show(next.page);
  showFresh(held);
  main().setAttribute("data-live", "");
  // While new pictures wait, cards of the page after this one are shown, too.
  etag = held ? null : next.version;
}

async function turn() {
  asking = true;
  changed = false;
  try {
    await ask();
    pause = USUAL_PAUSE;
    say("");
    document.dispatchEvent(new Event("updated"));
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
