// Changes: buttons, dialogs and keys. Everything is sent to /api, and the page then shows what is
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
  return Object.assign(data, { fresh: data.created ?? answer.status === 201 });
}

function tell(words, address = null) {
  clearTimeout(toastTimer);
  undo = address;
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

// Does something that may fail, and says what came of it: `done`, unless the answer has words of its own.
async function attempt(action, done) {
  try {
    const data = await action();
    if (data === null) return; // thought better of it
    tell(data.words ?? done, data.undo);
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
  attempt(async () => {
    await send("POST", `/api${address}`);
    return {};
  }, "Undone");
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

// Fills in what a dialog says. It has a box to tick if there is an option, which is ticked if it is chosen beforehand.
function fill(dialog, title, { hint = "", option = "", chosen = false, save }) {
  dialog.querySelector("h2").textContent = title;
  dialog.querySelector(".hint").textContent = hint;
  dialog.querySelector("button.main").textContent = save;
  const label = dialog.querySelector("label.check");
  label.hidden = !option;
  label.querySelector("span").textContent = option;
  const box = label.querySelector("input");
  box.checked = Boolean(option) && chosen;
  return box;
}

// Whether that is wanted, and the option with it; null for no.
async function confirmed(question, more = {}) {
  const dialog = document.getElementById("asking");
  const box = fill(dialog, question, { save: "Yes", ...more });
  return (await answered(dialog)) ? { chosen: box.checked } : null;
}

// A name that is given, and whether the option is wanted with it; null for none.
async function askName(title, { value = "", ...more } = {}) {
  const dialog = document.getElementById("naming");
  const box = fill(dialog, title, { save: "Save", ...more });
  const input = dialog.querySelector("input[name=name]");
  input.value = value;
  const answer = answered(dialog);
  input.select();
  const name = (await answer) && input.value.trim();
  return name ? { name, chosen: box.checked } : null;
}

// By a part of their names ("text"), or by the whole ("called"): of very many people a part brings the newest alone.
const people = async (by, name) => (await send("GET", `/people?${by}=${encodeURIComponent(name)}`)).people ?? [];
const sameName = (a, b) => a.localeCompare(b, undefined, { sensitivity: "accent" }) === 0;

const peopleCalled = async (name, except) =>
  (await people("called", name)).filter((person) => sameName(person.name, name) && String(person.id) !== except);
const addCalled = (name) => send("POST", "/api/people", { name });

// Who is meant by a name, or by a number like #8; null for nobody who is known.
async function known(name, except) {
  const number = /^#(\d+)$/.exec(name)?.[1];
  if (number) return send("GET", `/people/${number}`);
  const all = await peopleCalled(name, except);
  // No guess will do.
  if (all.length > 1) throw new Error(`${all.length} people are called ${name}; say who by ${all.map(({ id }) => `#${id}`).join(" or ")}`);
  return all[0] ?? null;
}

// Whether a name that others have, too, is wanted.
async function isMeant(name, except) {
  const others = await peopleCalled(name, except);
  return !others.length || (await confirmed(`Somebody is called ${name} already. Is this another?`)) !== null;
}

// Looks names up while they are typed.
let namesTimer;
document.addEventListener("input", ({ target }) => {
  if (!target.matches?.("input[list=names]")) return;
  clearTimeout(namesTimer);
  namesTimer = setTimeout(async () => {
    const found = await people("text", target.value).catch(() => []);
    const list = document.getElementById("names");
    const shared = (name) => found.filter((other) => sameName(other.name, name)).length > 1;
    const option = ({ id, name }) =>
      Object.assign(document.createElement("option"), shared(name) ? { value: `#${id}`, label: `${name}, #${id}` } : { value: name });
    list.replaceChildren(...found.map(option));
  }, NAMES_AFTER);
});

// --- What the buttons do --------------------------------------------------------------------------------------

const NEW_NAME = document.querySelector("#naming .hint").dataset.new;
const BY_THIS_FACE = "Recognise them by this face from now on";

// Says by `say` who somebody is. Who is known by a face then, if that is wanted and it is fit, is so no longer when the
// name is taken back, and who became known by it neither; what they were known by before stays.
async function named({ name, chosen }, example, say) {
  const whom = await known(name);
  const said = await say(whom ? { person: whom.id } : { name });
  const { person, undo: address } = said;
  let words = `Named ${person.name}`;
  if (chosen) {
    const entry = Number(/\d+/.exec(address)[0]);
    try {
      await send("POST", `/api/people/${person.id}/pictures`, { face: Number(example), part_of: entry });
      words += ", and known by this face";
    } catch (error) {
      words += `, but not known by it: ${error.message}`;
    }
  }
  return { words, undo: address };
}

async function nameFace({ nameFace: face, example }) {
  const given = await askName("Who is it?", { hint: NEW_NAME, option: example && BY_THIS_FACE, chosen: true });
  if (!given) return;
  await attempt(() => named(given, example, async (whom) => {
    const said = await send("PUT", `/api/faces/${face}/person`, whom);
    return { ...said, person: said.faces.find(({ id }) => id === Number(face)).person };
  }));
}

async function nameCluster({ nameCluster: cluster, example }) {
  const option = example && "Recognise them by the best of these faces from now on";
  const given = await askName("Who is this?", { hint: NEW_NAME, option, chosen: true });
  if (!given) return;
  await attempt(() => named(given, example, (whom) => send("POST", `/api/strangers/${cluster}/person`, whom)));
}

async function namePicture(picture) {
  const given = await askName("Whose picture is it?", { hint: NEW_NAME });
  if (!given) return;
  await attempt(async () => {
    const person = (await known(given.name)) ?? (await addCalled(given.name));
    await send("PUT", `/api/people/${person.id}/pictures/${encodeURIComponent(picture)}`);
    return { words: `${person.name} is known by it` };
  });
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
  const given = await askName("Add a person");
  if (!given || !(await isMeant(given.name))) return;
  const person = await attempt(() => addCalled(given.name), `Added ${given.name}`);
  if (person?.id) location.assign(`/people/${person.id}`);
}

async function renamePerson({ renamePerson: id, name: value }) {
  const given = await askName("What is the name?", { value });
  if (!given || !(await isMeant(given.name, id))) return;
  await attempt(() => send("PATCH", `/api/people/${id}`, { name: given.name }), `Renamed to ${given.name}`);
}

async function deletePerson({ deletePerson: id, name }) {
  const sure = await confirmed(`Delete ${name}?`, {
    hint: "The faces become unknown. The reference photos stay in the folder, without a person. This cannot be undone.",
    option: "Erase their known pictures and the faces that show them, too",
    save: "Delete",
  });
  if (!sure) return;
  const deleted = await attempt(() => send("DELETE", `/api/people/${id}${sure.chosen ? "?erase=true" : ""}`), "Deleted");
  if (deleted) location.assign("/people");
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
    : data.nameFace ? () => nameFace(data)
    : data.nameCluster ? () => nameCluster(data)
    : data.namePicture ? () => namePicture(data.namePicture)
    : "addPerson" in data ? addPerson
    : data.renamePerson ? () => renamePerson(data)
    : data.deletePerson ? () => deletePerson(data)
    : null;
  if (!action) return;
  button.disabled = true; // not twice
  await action().catch((error) => tell(`That did not work: ${error.message}`));
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

// Beside one picture the arrows lead to the next.
function turnTo(link, step) {
  const next = location.pathname.startsWith("/images/") && document.getElementById(link);
  if (next) next.click();
  else go(step);
}

function nameCard() {
  const card = current() ?? cards()[place];
  const button = card?.querySelector("[data-name-face], [data-name-cluster], [data-name-picture]");
  const field = card?.querySelector(".name-cluster [name=name]");
  if (field) field.focus();
  else if (button) button.click();
  else tell("There is no face to name here: open a picture to name its faces");
}

const KEYS = {
  j: () => go(1),
  k: () => go(-1),
  ArrowRight: () => turnTo("older", 1),
  ArrowLeft: () => turnTo("newer", -1),
  n: nameCard,
  u: takeBack,
  "/": () => document.querySelector("main input[type=search]")?.focus(),
  "?": () => answered(document.getElementById("help")),
};

const isTyping = (target) => target.closest("input:not([type=checkbox]), select, textarea, dialog");

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  // Out of a field that stands on a card, the keys are for the card again.
  if (event.key === "Escape" && event.target.matches(".card input")) event.target.closest(".card").querySelector("a").focus();
  if (isTyping(event.target)) return;
  const action = KEYS[event.key];
  if (!action) return;
  event.preventDefault();
  action();
});
