// A little help where there is JavaScript: time left, copy, save, print. Every page works without it.
"use strict";

(() => {
  const words = (seconds) => {
    const minutes = Math.max(0, Math.floor(seconds / 60));
    const rest = Math.max(0, Math.floor(seconds % 60));
    return minutes >= 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${minutes}:${String(rest).padStart(2, "0")}`;
  };

  for (const place of document.querySelectorAll("[data-ends-at]")) {
    const ends = Number(place.dataset.endsAt);
    const tick = () => {
      const left = ends - Date.now() / 1000;
      place.textContent = left > 0 ? `(${words(left)})` : "";
      if (left > 0) setTimeout(tick, 1000);
      else if (place.closest("[data-when-over]")) window.location.replace(place.closest("[data-when-over]").dataset.whenOver);
    };
    tick();
  }

  const text = (id) => document.getElementById(id).innerText.trim();

  for (const button of document.querySelectorAll("[data-copy]")) {
    if (!navigator.clipboard) continue;
    button.hidden = false;
    button.setAttribute("aria-live", "polite");
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(text(button.dataset.copy));
      button.textContent = button.dataset.done;
    });
  }

  for (const button of document.querySelectorAll("[data-print]")) {
    button.hidden = false;
    button.addEventListener("click", () => window.print());
  }

  for (const button of document.querySelectorAll("[data-save]")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([`${document.getElementById(button.dataset.title).textContent}\n\n${text(button.dataset.save)}\n`], { type: "text/plain" }));
      link.download = button.dataset.name;
      link.click();
      URL.revokeObjectURL(link.href);
    });
  }

  // After "Back" to a page that was left by signing out, ask the server anew rather than show what was kept.
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) window.location.reload();
  });
})();
