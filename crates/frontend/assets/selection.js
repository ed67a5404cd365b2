// Several faces at once: cards are selected by their checkboxes, and a bar at the bottom says what to do with them. A form for
// /faces says the same without this script: here it is one request to the receiver, and one toast with Undo.
"use strict";

const bar = document.getElementById("selection");
const boxes = () => [...document.querySelectorAll("main input[type=checkbox][name=face]")];
const faceCards = () => [...document.querySelectorAll("main .face")];
const selected = () => boxes().filter((box) => box.checked);
const facesOf = (count) => (count === 1 ? "1 face" : `${count} faces`);
let last = null; // the face that was selected last: a range begins there
let back = null; // where the focus goes when the page shows what came of a change

// Shows what is selected.
function showSelection() {
  const chosen = selected();
  const all = boxes();
  const status = document.getElementById("selected");
  const words = chosen.length ? `${facesOf(chosen.length)} selected` : "No face selected";
  document.body.classList.toggle("selecting", chosen.length > 0);
  // Saying the same again would make a screen reader repeat it.
  if ((chosen.length || status.textContent) && status.textContent !== words) status.textContent = words;
  bar.querySelector(".count").textContent = `${chosen.length} selected`;
  const selectAll = bar.querySelector("[data-select-all]");
  selectAll.textContent = `Select all ${all.length}`;
  selectAll.hidden = chosen.length === all.length;
  bar.querySelector("[value=clear]").hidden = !chosen.some((box) => "corrected" in box.dataset);
}

// Selects or deselects a face, and with a range all between it and the last one.
function select(box, checked, range) {
  const all = boxes();
  const from = range ? all.findIndex((other) => other.value === last) : -1;
  const to = all.indexOf(box);
  const many = from < 0 ? [box] : all.slice(Math.min(from, to), Math.max(from, to) + 1);
  for (const one of many) one.checked = checked;
  last = box.value;
  showSelection();
}

function selectAll(checked) {
  for (const box of boxes()) box.checked = checked;
  last = null;
  showSelection();
}

// Deselects all, and gives the focus back to a card if it was on the bar, which goes.
function deselect() {
  const card = selected()[0]?.closest(".card");
  selectAll(false);
  if (card && (bar.contains(document.activeElement) || document.activeElement === document.body)) focusOn(card);
}

const focusOn = (card) => card.querySelector("a, button")?.focus({ preventScroll: true });

// --- What is done with them -----------------------------------------------------------------------------------

// Each by what is asked for, and by the words for what was done.
const SAYINGS = {
  assign: [(person) => ({ person }), (faces, name) => `${faces} named ${name}`],
  confirm: [() => ({ confirm: true }), (faces) => `${faces} confirmed`],
  reject: [(person) => ({ not: person }), (faces, name) => `${faces} removed from ${name}`],
  ignore: [() => ({ person: null }), (faces) => `${faces} ignored`],
  clear: [() => ({ clear: true }), (faces) => `Corrections of ${faces} cleared`],
};

const personName = () => document.querySelector(".person-name")?.textContent ?? "this person";

async function correct(form, what) {
  const data = new FormData(form);
  const cluster = data.get("cluster");
  const faces = data.getAll("face").map(Number);
  if (form.matches(".name-cluster") && what === "assign") return nameOnCard(form, data);
  // About a cluster, or about a face and whom it may show.
  if (form !== bar && (cluster || data.has("name"))) {
    const { person } = form.querySelector(`[value=${what}]`).dataset;
    return correctAs(cluster ? { cluster: Number(cluster) } : { faces }, what, data.get("person"), person);
  }
  if (!faces.length) return tell("Select faces first");
  const first = faceCards().findIndex((card) => card.dataset.face === String(faces[0]));
  const done =
    what === "assign" ? await assign(faces) : await correctAs({ faces }, what, data.get("person"), personName());
  if (!done) return;
  back = first;
  selectAll(false);
}

const correctAs = (about, what, person, name) =>
  attempt(async () => {
    const [asked, words] = SAYINGS[what];
    const said = await send("POST", "/api/faces/corrections", { ...about, ...asked(Number(person)) });
    return { ...said, words: words(facesOf(said.faces), name) };
  });

// Names a cluster by what is typed on its card. Who does so goes on with the next card meanwhile.
async function nameOnCard({ elements }, data) {
  const fields = [...document.querySelectorAll(".name-cluster [name=name]")];
  const next = fields[fields.indexOf(elements.name) + 1] ?? fields.find((field) => field !== elements.name);
  (next ?? main()).focus();
  const [cluster, example] = ["cluster", "example"].map((field) => data.get(field));
  const given = { name: data.get("name").trim(), chosen: Boolean(example) };
  return attempt(() => named(given, example, (whom) => send("POST", `/api/strangers/${cluster}/person`, whom)));
}

async function assign(faces) {
  const chosen = selected();
  const best = chosen
    .filter((box) => "example" in box.dataset)
    .sort((a, b) => Number(b.dataset.example) - Number(a.dataset.example))[0]?.value;
  // Whoever is recognised already is known by better pictures.
  const areUnknown = chosen.every((box) => !("named" in box.dataset));
  const title = faces.length === 1 ? "Who is this?" : `Who is this? (${faces.length} faces)`;
  const option = best && "Recognise them by the best of these faces from now on";
  const given = await askName(title, { hint: NEW_NAME, option, chosen: areUnknown });
  if (!given) return;
  return attempt(() => named(given, best, (whom) => send("POST", "/api/faces/corrections", { faces, ...whom })));
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (form.getAttribute("action") !== "/faces" || "plain" in form.dataset) return;
  event.preventDefault();
  const button = event.submitter;
  if (!button || button.disabled) return;
  button.disabled = true; // not twice
  await correct(form, button.value).catch((error) => tell(`That did not work: ${error.message}`));
  button.disabled = false;
});

// The cards went, or changed: the focus goes to what stands where the first of them stood.
document.addEventListener("updated", () => {
  if (!bar) return;
  showSelection();
  if (back === null) return;
  const here = document.activeElement;
  const lost = !here || here === document.body || bar.contains(here);
  const card = faceCards()[Math.min(back, faceCards().length - 1)];
  back = null;
  place = Math.max(cards().indexOf(card), 0);
  if (!lost) return;
  if (card) focusOn(card);
  else main().focus({ preventScroll: true });
});

// --- Mouse and keys -------------------------------------------------------------------------------------------

document.addEventListener("click", (event) => {
  if (!bar) return;
  const { target } = event;
  if (target.matches?.("input[type=checkbox][name=face]")) return select(target, target.checked, event.shiftKey);
  if (target.closest?.("[data-select-all]")) return selectAll(true);
  if (target.closest?.("[data-deselect]")) return deselect();
  // While faces are selected, a picture is selected, too; with Enter it opens.
  const box = target.closest?.(".face .picture")?.closest(".card").querySelector("input[name=face]");
  const opens = event.detail === 0 || event.ctrlKey || event.metaKey || event.button !== 0;
  if (!box || opens || !(event.shiftKey || document.body.classList.contains("selecting"))) return;
  event.preventDefault();
  select(box, event.shiftKey || !box.checked, event.shiftKey);
});

// No text is selected on the way from one to the other.
document.addEventListener("mousedown", (event) => {
  if (event.shiftKey && event.target.closest?.("main .face")) event.preventDefault();
});

function toggleCurrent(range) {
  const card = current() ?? cards()[place];
  const box = card?.querySelector("input[name=face]");
  if (box) select(box, range || !box.checked, range);
}

// Presses a button of the bar, or of the card that has the focus when no face is selected.
function press(what) {
  if (!bar) return;
  const button = selected().length
    ? bar.querySelector(`[value=${what}]:not([hidden])`)
    : current()?.querySelector(`[data-key=${what}]`);
  button?.click();
}

if (bar) {
  const nameOne = KEYS.n;
  Object.assign(KEYS, {
    x: () => toggleCurrent(false),
    X: () => toggleCurrent(true),
    i: () => press("ignore"),
    c: () => press("confirm"),
    n: () => (selected().length ? press("assign") : nameOne()),
    Escape: deselect,
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "a" || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
    if (isTyping(event.target) || !boxes().length) return;
    event.preventDefault();
    selectAll(true);
  });
  // Names can be typed at once, unless the reader is elsewhere, or that would bring up the keyboard of a phone.
  const field = document.querySelector(".name-cluster [name=name]");
  const isInView = field && field.getBoundingClientRect().bottom < innerHeight;
  if (isInView && !matchMedia("(pointer: coarse)").matches && document.activeElement === document.body && !location.hash)
    field.focus({ preventScroll: true });
  // A browser may remember what was checked.
  window.addEventListener("pageshow", showSelection);
}
