// Opens a picture of Photos large, over the page: what its own page shows of it, with the ways to its neighbours in the same filter.
// The address is that of the picture's page meanwhile, so it can be shared. Without this script the links lead to that page.
"use strict";

const lightbox = document.getElementById("lightbox");
const part = (selector) => lightbox.querySelector(selector);
let opened = 0; // how many pictures were opened: a page that comes late is of no use
let from = null; // the link that was followed, which gets the focus back

const idIn = (address) => /^\/images\/(\d+)$/.exec(new URL(address, location.href).pathname)?.[1];

// Everything that the page of a picture says, as far as it fits beside the picture.
function fillWith(page, address) {
  const title = part("h2");
  title.replaceChildren(...page.querySelector(".details h2").childNodes);
  const stage = page.querySelector(".stage");
  for (const link of stage.querySelectorAll("svg a")) link.setAttribute("href", address + link.getAttribute("href"));
  part(".view").replaceChildren(stage);
  part("[data-page]").href = address;
  for (const rel of ["prev", "next"]) {
    const way = page.querySelector(`nav.pages [rel=${rel}]`);
    const link = part(`[rel=${rel}]`);
    if (way) link.href = way.href;
    else link.removeAttribute("href");
  }
}

async function openPicture(address) {
  opened += 1;
  const mine = opened;
  const answer = await read(address).catch(() => null);
  if (mine !== opened) return false;
  // The picture may be deleted, or nobody answers: its page says so.
  if (!answer?.page.querySelector(".stage")) {
    location.assign(address);
    return false;
  }
  fillWith(answer.page, address);
  zoom(false);
  if (!lightbox.open) lightbox.showModal();
  return true;
}

async function goOn(rel) {
  const { href } = part(`[rel=${rel}]`);
  if (!href || !(await openPicture(href))) return;
  history.replaceState({ picture: true }, "", href);
  // The way that led here may go no further.
  if (document.activeElement.matches("[rel]:not([href])")) part(".view").focus();
}

// Its file as it is, which is larger than what fits the window; some kinds of files are shown by no browser.
function zoom(isWanted) {
  const picture = part(".stage img");
  const small = picture.dataset.small ?? picture.getAttribute("src");
  picture.dataset.small = small;
  picture.onerror = () => { picture.onerror = null; picture.src = small; };
  if (isWanted) picture.src = `/images/${idIn(part("[data-page]").href)}/original`;
  lightbox.classList.toggle("zoomed", isWanted);
  part("[data-zoom]").setAttribute("aria-pressed", isWanted);
}

const isZoomed = () => lightbox.classList.contains("zoomed");

document.addEventListener("click", async (event) => {
  const link = event.target.closest?.(".day .picture");
  const opensElsewhere = event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || event.button !== 0;
  if (!link || opensElsewhere) return;
  event.preventDefault();
  from = link;
  if (await openPicture(link.href)) history.pushState({ picture: true }, "", link.href);
});

lightbox.addEventListener("click", (event) => {
  const { target } = event;
  const way = target.closest("[rel]");
  if (way) {
    event.preventDefault();
    goOn(way.rel);
  } else if (target.closest("[data-zoom]")) zoom(!isZoomed());
  else if (target.closest("[data-close]") || target === lightbox) lightbox.close();
});

// Before the keys of the page, which lies behind it.
document.addEventListener("keydown", (event) => {
  if (!lightbox.open) return;
  event.stopPropagation();
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const rel = { ArrowLeft: "prev", ArrowRight: "next" }[event.key];
  if (rel && !isZoomed()) goOn(rel);
  else if (event.key === "z") zoom(!isZoomed());
  else return;
  event.preventDefault();
}, true);

// The card of the picture that was seen last has the focus then, or else the one that was opened first.
lightbox.addEventListener("close", () => {
  opened += 1;
  const last = document.querySelector(`#image-${idIn(part("[data-page]").href)} .picture`);
  (last ?? from)?.focus();
  if (history.state?.picture) history.back();
});

window.addEventListener("popstate", ({ state }) => {
  if (state?.picture) openPicture(location.href);
  else if (lightbox.open) lightbox.close();
});
