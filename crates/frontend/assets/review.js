// One question at a time, answered by keys: each presses a button of the page, or puts the cursor where a name is written.
"use strict";

const control = (key) => document.querySelector(`[data-answer="${key}"]`);

// An answer is under way: what is pressed meanwhile is not meant for the next question, and must not break the answer off.
const FOR_AN_ANSWER = 5_000; // milliseconds
let answeredAt = 0;
const isAnswered = () => Date.now() - answeredAt < FOR_AN_ANSWER;

for (const key of ["1", "2", "3", "x", "i", "s"]) KEYS[key] = () => isAnswered() || control(key)?.click();
KEYS.u = () => isAnswered() || (control("u") ? control("u").click() : tell("There is nothing to undo here"));
KEYS.n = () => isAnswered() || control("n")?.focus();

document.addEventListener("submit", (event) => {
  if (isAnswered()) return event.preventDefault();
  answeredAt = Date.now();
});
window.addEventListener("pageshow", () => { answeredAt = 0; });
