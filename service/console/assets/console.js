// What the pages can do besides what forms and links do: keys, questions, and a refresh that waits.
(() => {
  "use strict";

  const selected = () => document.querySelectorAll('#selection input[type="checkbox"]:checked').length;
  const outage = document.getElementById("outage");
  const help = document.getElementById("help");

  // No refresh that nobody sees. Lists, in which rows are selected, have none.
  document.addEventListener("htmx:before:request", (event) => {
    if (document.hidden) event.preventDefault();
  });

  // A refresh that fails is tried again; until then the page says how old it is.
  let seen = new Date();
  const time = (date) => date.toISOString().slice(11, 19);
  const fails = () => {
    outage.textContent = `No answer from the service. What you see is of ${time(seen)}.`;
    outage.hidden = false;
  };
  document.addEventListener("htmx:error", fails);
  document.addEventListener("htmx:after:request", (event) => {
    if (event.detail.ctx.response.status >= 400) {
      fails();
    } else {
      seen = new Date();
      outage.hidden = true;
    }
  });

  // Questions, also for buttons that come with a refresh.
  document.addEventListener("submit", (event) => {
    const asker = event.submitter?.dataset.question ? event.submitter : event.target;
    let question = asker.dataset.question;
    if (!question) return;
    if (question.includes("{number}")) {
      const number = selected();
      if (!number) {
        event.preventDefault();
        return;
      }
      const noun = asker.dataset.noun || "order";
      question = question.replace("{number}", `${number} ${noun}${number === 1 ? "" : "s"}`);
    }
    if (!window.confirm(question)) event.preventDefault();
  });

  const follow = (selector) => document.querySelector(selector)?.click();
  const selectAll = () => {
    const boxes = [...document.querySelectorAll('#selection input[type="checkbox"]')];
    const all = boxes.every((box) => box.checked);
    boxes.forEach((box) => { box.checked = !all; });
  };
  const keys = {
    "/": () => document.getElementById("jump")?.focus(),
    "j": () => follow('a[rel="next"]'),
    "k": () => follow('a[rel="prev"]'),
    "o": () => follow('a[data-key="o"]'),
    "f": () => follow('a[data-key="f"]'),
    "w": () => follow('a[data-key="w"]'),
    "x": selectAll,
    "?": () => help.showModal(),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || help.open) return;
    if (event.target.closest("input:not([type=checkbox]), select, textarea")) return;
    const act = keys[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });

  const helpButton = document.getElementById("help-button");
  if (helpButton) {
    helpButton.hidden = false;
    helpButton.addEventListener("click", () => help.showModal());
  }
})();
