// One question at a time, answered by keys: each presses a button of the page, or puts the cursor where a name is written.
"use strict";

const control = (key) => document.querySelector(`[data-answer="${key}"]`);

for (const key of ["1", "2", "3", "x", "i", "s", "u"]) KEYS[key] = () => control(key)?.click();
KEYS.n = () => control("n")?.focus();

// A second press must not answer the next question.
document.addEventListener("submit", (event) => {
  if (document.body.dataset.answered) return event.preventDefault();
  document.body.dataset.answered = "true";
});
window.addEventListener("pageshow", () => delete document.body.dataset.answered);
