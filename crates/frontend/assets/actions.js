// Changes: buttons, dialogs, keys and dropped pictures. Everything is sent to /api, and the page then shows what is
// true afterwards (refresh, in app.js). A button says in its attributes what it does:
//   data-send="METHOD address"  data-body='{…}'  data-done="words for the toast"
//   data-ask="a question first"  data-then="where to go afterwards"
"use strict";

const TOAST_STAYS = 10_000; // milliseconds
const NAMES_AFTER = 150; // milliseconds without a key before names are looked up

const toast = document.getElementById("toast");
let undo = null; // where to post what takes the last change back
let toastTimer;

// --- Sending --------------------------------------------------------------------------------------------------

async function send(method, address, body) {
  const init = { method, headers: { Accept: "application/json" } };
  if (body instanceof Blob) {
    init.body = body;
    init.headers["Content-Type"] = body.type;
  } else if (body !== undefined) {
    init.body = typeof body === "string" ? body : JSON.stringify(body);
    init.headers["Content-Type"] = "application/json";
  }
  const answer = await fetch(address, init);
  const text = await answer.text();
  let data = {};
  try { data = JSON.parse(text); } catch { /* an answer without a body, or not from the receiver */ }
  if (!answer.ok) throw new Error(data.detail ?? data.title ?? `the answer has status ${answer.status}`);
  return data;
}

function tell(words, undoAddress = null) {
  clearTimeout(toastTimer);
  undo = undoAddress;
  toast.textContent = words;
  if (undo) {
    const button = document.createElement("button");
    button.textContent = "Undo";
    button.onclick = takeBack;
    toast.append(" ", button);
  }
  toast.hidden = false;
  toastTimer = setTimeout(() => { toast.hidden = true; }, TOAST_STAYS);
}

// Does something that may fail, and says what came of it.
async function attempt(action, done) {
  try {
    const data = await action();
    if (data === null) return; // thought better of it
    const address = data?.undo ?? null;
    tell(done, address && !address.startsWith("/api") ? `/api${address}` : address);
    refresh();
    return data;
  } catch (error) {
    tell(`That did not work: ${error.message}`);
    refresh();
  }
}

function takeBack() {
  if (!undo) return;
  const address = undo;
  undo = null;
  attempt(() => send("POST", address), "Undone");
}

// --- Dialogs --------------------------------------------------------------------------------------------------

// Shows a dialog until it is answered: true for yes.
function answered(dialog) {
  return new Promise((resolve) => {
    const form = dialog.querySelector("form");
    let yes = false;
    form.onsubmit = () => { yes = true; };
    dialog.onclose = () => resolve(yes);
    for (const button of dialog.querySelectorAll("[data-close]")) button.onclick = () => dialog.close();
    dialog.showModal();
  });
}

async function confirmed(question) {
  document.getElementById("asking-title").textContent = question;
  return answered(document.getElementById("asking"));
}

// A name that is given; null for none.
async function askName(title, value = "") {
  const dialog = document.getElementById("naming");
  document.getElementById("naming-title").textContent = title;
  const input = dialog.querySelector("input");
  input.value = value;
  const answer = answered(dialog);
  input.select();
  return (await answer) ? input.value.trim() || null : null;
}

// By a part of their names ("text"), or by the whole ("called"): of very many people a part brings the newest alone.
const people = async (by, name) => (await send("GET", `/people?${by}=${encodeURIComponent(name)}`)).people ?? [];
const sameName = (a, b) => a.localeCompare(b, undefined, { sensitivity: "accent" }) === 0;

const peopleCalled = async (name) => (await people("called", name)).filter((person) => sameName(person.name, name));

// One of them does for a word that can be taken back.
async function personCalled(name) {
  return (await peopleCalled(name))[0] ?? null;
}

// Somebody who is known, or becomes known now.
async function personToBe(name) {
  return (await personCalled(name)) ?? send("POST", "/api/people", { name });
}

// Looks names up while they are typed.
let namesTimer;
document.addEventListener("input", ({ target }) => {
  if (!target.matches?.("input[list=names]")) return;
  clearTimeout(namesTimer);
  namesTimer = setTimeout(async () => {
    const found = await people("text", target.value).catch(() => []);
    const list = document.getElementById("names");
    list.replaceChildren(...found.map(({ name }) => Object.assign(document.createElement("option"), { value: name })));
  }, NAMES_AFTER);
});

// --- What the buttons do --------------------------------------------------------------------------------------

async function nameFace(face) {
  const name = await askName("Who is it?");
  if (!name) return;
  await attempt(async () => {
    const person = await personToBe(name);
    return send("PUT", `/api/faces/${face}/person`, { person: person.id });
  }, `Named ${name}`);
}

async function nameStranger(stranger) {
  const name = await askName("Who is this stranger?");
  if (!name) return;
  await attempt(async () => {
    const person = await personCalled(name);
    return send("POST", `/api/strangers/${stranger}/person`, person ? { person: person.id } : { name });
  }, `Named ${name}`);
}

async function namePicture(picture) {
  const name = await askName("Whose picture is it?");
  if (!name) return;
  await attempt(async () => {
    const person = await personToBe(name);
    return send("PUT", `/api/people/${person.id}/pictures/${encodeURIComponent(picture)}`);
  }, `${name} is known by it`);
  await listUnnamed();
}

// Pictures in the folder of known people that have no name yet: the receiver alone sees that folder.
async function listUnnamed() {
  const section = document.getElementById("unnamed");
  if (!section) return;
  const { pictures = [] } = await send("GET", "/api/people/unnamed").catch(() => ({}));
  const card = (picture) => {
    const copy = section.querySelector("template").content.cloneNode(true);
    copy.querySelector("img").src = `/thumbnails/known/${encodeURIComponent(picture)}`;
    copy.querySelector("bdi").textContent = picture;
    copy.querySelector("button").dataset.namePicture = picture;
    return copy;
  };
  section.querySelector("ul").replaceChildren(...pictures.map(card));
  section.hidden = !pictures.length;
}

listUnnamed();

async function addPerson() {
  const name = await askName("Who becomes known?");
  if (!name) return;
  const person = await attempt(() => send("POST", "/api/people", { name }), `Added ${name}`);
  if (person?.id) location.assign(`/people/${person.id}`);
}

async function renamePerson(id, old) {
  const name = await askName("What is the name?", old);
  if (name) await attempt(() => send("PATCH", `/api/people/${id}`, { name }), `Renamed to ${name}`);
}

async function mergePerson(id) {
  const name = await askName("Who is the same person?");
  if (!name) return;
  let into;
  const merged = await attempt(async () => {
    const others = (await peopleCalled(name)).filter((person) => String(person.id) !== id);
    if (!others.length) throw new Error(`nobody else is called ${name}`);
    // It cannot be undone: no guess will do.
    if (others.length > 1) throw new Error(`${others.length} people are called ${name}: rename one of them first`);
    [into] = others;
    return send("POST", `/api/people/${id}/merge`, { into: into.id });
  }, "Merged");
  if (merged) location.assign(`/people/${into.id}`);
}

async function sendButton({ send: what, body, done, ask, then }) {
  if (ask && !(await confirmed(ask))) return;
  const [method, address] = what.split(" ");
  const data = await attempt(() => send(method, address, body), done);
  if (data && then) location.assign(then);
}

document.addEventListener("click", async ({ target }) => {
  const button = target.closest?.("button");
  if (!button || button.disabled) return;
  const data = button.dataset;
  const action =
    data.send ? () => sendButton(data)
    : data.nameFace ? () => nameFace(data.nameFace)
    : data.nameStranger ? () => nameStranger(data.nameStranger)
    : data.namePicture ? () => namePicture(data.namePicture)
    : "addPerson" in data ? addPerson
    : data.renamePerson ? () => renamePerson(data.renamePerson, data.name)
    : data.mergePerson ? () => mergePerson(data.mergePerson)
    : null;
  if (!action) return;
  button.disabled = true; // not twice
  await action();
  button.disabled = false;
});

// --- Keys -----------------------------------------------------------------------------------------------------

const cards = () => [...document.querySelectorAll("main .card, main tbody tr")];
// The card that has the focus; when it has gone, named and done, the one that took its place.
let place = 0;
const current = () => document.activeElement?.closest("main .card, main tbody tr");

function go(step) {
  const all = cards();
  const here = all.indexOf(current());
  if (here < 0 && step > 0) step = 0;
  place = Math.max(Math.min((here < 0 ? place : here) + step, all.length - 1), 0);
  all[place]?.scrollIntoView({ block: "nearest" });
  all[place]?.querySelector("a, button")?.focus({ preventScroll: true });
}

const KEYS = {
  j: () => go(1),
  ArrowRight: () => go(1),
  k: () => go(-1),
  ArrowLeft: () => go(-1),
  n: () => (current() ?? cards()[place])?.querySelector("[data-name-face], [data-name-stranger], [data-name-picture]")?.click(),
  u: takeBack,
  "/": () => document.querySelector("main input[type=search]")?.focus(),
  "?": () => answered(document.getElementById("help")),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, select, textarea, dialog")) return;
  const action = KEYS[event.key];
  if (!action) return;
  event.preventDefault();
  action();
});

// --- Pictures that are dropped or chosen ----------------------------------------------------------------------

// The form that takes them on this page, if one does: the gallery's, or that of a person who becomes known by them.
const taker = () => document.getElementById("upload");

// Only the receiver knows whether it takes pictures for the gallery.
async function offerUploads() {
  if (!taker()?.hidden) return;
  const answer = await fetch("/api/images?limit=1", { method: "HEAD" });
  taker().hidden = !answer.headers.has("Accept-Post");
}

offerUploads().catch(() => { /* nor does anybody take them */ });

// One after the other: the receiver has more to do than to take pictures, and progress means something.
async function upload(files) {
  if (!taker()) return tell("Pictures are added in the gallery, or on the page of the person that they show");
  const pictures = [...files].filter((file) => file.type.startsWith("image/"));
  if (!pictures.length) return tell("Only pictures can be added: JPEG, PNG, WebP or GIF");
  const { address } = taker().dataset;
  const progress = taker().querySelector("progress");
  progress.max = pictures.length;
  progress.hidden = false;
  let added = 0;
  let known = 0;
  const failed = [];
  for (const [at, picture] of pictures.entries()) {
    progress.value = at;
    try {
      const kept = await send("POST", address, picture);
      if (kept.created === false) known += 1;
      else added += 1;
    } catch (error) {
      failed.push(`${picture.name}: ${error.message}`);
    }
  }
  progress.hidden = true;
  const words = [];
  if (added) words.push(`${added} added`);
  if (known) words.push(`${known} known already`);
  if (failed.length) words.push(`${failed.length} refused (${failed[0]})`);
  tell(words.join(", "));
  refresh();
}

document.addEventListener("change", ({ target }) => {
  if (!target.matches("#upload input")) return;
  upload(target.files);
  target.value = "";
});

const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
document.addEventListener("dragover", (event) => {
  if (!holdsFiles(event)) return;
  event.preventDefault();
  document.body.classList.add("dropping");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dropping");
});
document.addEventListener("drop", (event) => {
  if (!holdsFiles(event)) return;
  event.preventDefault();
  document.body.classList.remove("dropping");
  upload(event.dataTransfer.files);
});
