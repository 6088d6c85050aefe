"use strict";
document.documentElement.classList.add("script");

// A form with data-draft saves what a person types, two seconds after the last key.
for (const form of document.querySelectorAll("form[data-draft]")) {
  const shown = form.querySelector("[data-saved]");
  let timer = 0, count = 0;
  const body = () => {
    form.elements.order.value = String(++count).padStart(10, "0");
    return new URLSearchParams(new FormData(form));
  };
  const save = async () => {
    timer = 0;
    try {
      const answer = await fetch(form.dataset.draft, { method: "POST", body: body(), redirect: "error" });
      shown.textContent = answer.ok ? "Draft saved at " + new Date().toISOString().slice(11, 16) + " UTC." : "The draft is not saved. Submit the form, or copy your text.";
    } catch {
      shown.textContent = "The draft is not saved: Tocsin did not answer. Copy your text before you leave.";
    }
  };
  form.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(save, 2000); });
  form.addEventListener("submit", () => { clearTimeout(timer); timer = 0; });
  addEventListener("pagehide", () => { if (timer) { clearTimeout(timer); navigator.sendBeacon(form.dataset.draft, body()); } });
}

// A page with data-live loads again when its incident changes, unless a person uses it.
const live = document.querySelector("[data-live]");
if (live) {
  const changes = new EventSource(live.dataset.live);
  changes.addEventListener("changed", () => {
    changes.close();
    const focus = document.activeElement;
    const used = document.querySelector("main details[open]") || String(getSelection()) || focus && focus !== document.body && focus.id !== "main";
    if (used) live.hidden = false;
    else location.reload();
  });
  addEventListener("pagehide", () => changes.close());
}
