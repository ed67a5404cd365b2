// Pictures that are chosen, or dropped on any page: sent one after the other, with a line for each that says what became of it.
"use strict";

const tray = document.getElementById("tray");
const outcome = tray.querySelector(".outcome");
let waiting = []; // what is to be sent, each with its line
let isSending = false;
let sent = { added: 0, known: 0, refused: 0 };
const unrecognised = new Map(); // the lines of pictures whose recognition is still to come, by their ids
let isLooking = false;
let isDragged = false; // a picture of the page itself, which browsers call a file, too

// The form of this page that takes pictures: the gallery's, or that of a person who becomes known by them.
const taker = () => document.getElementById("upload");

// Only the receiver knows whether it takes pictures for the gallery.
async function areTaken() {
  const answer = await fetch("/api/images?limit=1", { method: "HEAD" });
  if (!answer.ok) throw new Error(`the answer has status ${answer.status}`);
  return answer.headers.has("Accept-Post");
}

// Until that is known, the form keeps its place but is not seen, so that nothing moves when it appears.
async function offerUploads() {
  const form = taker();
  if (!form || !("unsure" in form.dataset)) return;
  form.hidden = !(await areTaken().catch(() => false));
  delete form.dataset.unsure;
}

offerUploads();

// Where pictures that are added on this page go. With their names, if it has "named".
async function destination() {
  if (taker()) return taker().dataset;
  if (!isLive()) throw new Error("pictures cannot be added on this page");
  if (/^\/people\/\d+$/.test(location.pathname)) throw new Error("only an admin can add reference photos");
  if (!(await areTaken())) throw new Error("the receiver takes no pictures (UPLOADS)");
  return { address: "/api/images", named: "" };
}

// Not every system has a name for what telephones write.
const isPicture = ({ type, name }) => type.startsWith("image/") || /[.](heic|heif|avif)$/i.test(name);

function lineFor({ name }) {
  const line = tray.querySelector("template").content.cloneNode(true).firstElementChild;
  line.querySelector("bdi").textContent = name;
  tray.querySelector("ul").append(line);
  return line;
}

function tellLine(line, words, { id, kind = "" } = {}) {
  const status = line.querySelector("span");
  status.textContent = words;
  status.title = words;
  line.className = kind;
  if (!id) return;
  const link = document.createElement("a");
  link.href = `/images/${id}`;
  link.append(...line.querySelector("bdi").childNodes);
  line.querySelector("bdi").append(link);
}

function showProgress() {
  const all = tray.querySelectorAll("li").length;
  const at = all - waiting.length;
  const [progress, words] = ["progress", ".count"].map((part) => tray.querySelector(part));
  Object.assign(progress, { max: all, value: at - 1, hidden: !isSending });
  words.textContent = isSending ? `Sending ${at} of ${all}` : "";
  tray.querySelector("[data-close-tray]").hidden = isSending;
  tray.hidden = !all;
}

async function sendOne({ picture, line, to }) {
  tellLine(line, "Sending…");
  if (!tray.querySelector("ul").matches(":hover, :focus")) line.scrollIntoView({ block: "nearest" });
  const name = new URLSearchParams({ name: picture.name });
  try {
    const { id, fresh } = await send("POST", "named" in to ? `${to.address}?${name}` : to.address, picture);
    if (fresh) sent.added += 1;
    else sent.known += 1;
    if (fresh && "named" in to) unrecognised.set(id, line);
    tellLine(line, fresh ? "Added" : "Known already", { id: "named" in to ? id : null, kind: "done" });
  } catch (error) {
    sent.refused += 1;
    tellLine(line, error.message, { kind: "refused" });
  }
}

// Says what became of the pictures that were added here: who is on them, or why recognition failed.
async function lookAfter() {
  if (!unrecognised.size || isLooking) return;
  isLooking = true;
  const before = Math.min(...unrecognised.keys()) - 1;
  const { images = [] } = await send("GET", `/api/images?after=${before}&limit=1000`).catch(() => ({}));
  isLooking = false;
  for (const { id, status, person, reason } of images) {
    const line = unrecognised.get(id);
    if (!line || !["Processed", "Failed"].includes(status)) continue;
    unrecognised.delete(id);
    if (status === "Failed") tellLine(line, reason ?? "Recognition failed", { kind: "refused" });
    else tellLine(line, person?.name ?? "Unknown", { kind: "done" });
  }
}

document.addEventListener("updated", lookAfter);

// One after the other: the receiver has more to do than to take pictures, and progress means something.
async function sendAll() {
  isSending = true;
  outcome.textContent = "";
  while (waiting.length) {
    const next = waiting.shift();
    showProgress();
    await sendOne(next);
  }
  isSending = false;
  showProgress();
  refresh();
  const { added, known, refused } = sent;
  sent = { added: 0, known: 0, refused: 0 };
  const words = [];
  if (added) words.push(`${added} added`);
  if (known) words.push(`${known} known already`);
  if (refused) words.push(`${refused} refused`);
  outcome.textContent = words.join(", ");
}

async function upload(files) {
  const pictures = [...files].filter(isPicture);
  if (!pictures.length) return tell("Only pictures can be added: JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC or AVIF");
  const to = await destination();
  for (const picture of pictures) waiting.push({ picture, to, line: lineFor(picture) });
  if (!isSending) await sendAll();
}

const failed = (error) => tell(`That did not work: ${error.message}`);

document.addEventListener("change", ({ target }) => {
  if (!target.matches("#upload input")) return;
  upload(target.files).catch(failed);
  target.value = "";
});

document.addEventListener("click", ({ target }) => {
  if (!target.closest?.("[data-close-tray]")) return;
  tray.querySelector("ul").replaceChildren();
  unrecognised.clear();
  outcome.textContent = "";
  showProgress();
  main().focus({ preventScroll: true });
});

// Who leaves the page would lose what is not sent yet.
window.addEventListener("beforeunload", (event) => { if (isSending) event.preventDefault(); });

const holdsFiles = (event) => !isDragged && event.dataTransfer?.types.includes("Files");
document.addEventListener("dragstart", () => { isDragged = true; });
document.addEventListener("dragend", () => { isDragged = false; });
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
  upload(event.dataTransfer.files).catch(failed);
});
