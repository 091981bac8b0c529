// A little help where there is JavaScript: times in the viewer's zone, time left, copy, save, print. Every page works without it.
"use strict";

(() => {
  const two = (number) => String(number).padStart(2, "0");

  // "14:32 UTC+1", with the date on another day: as the server writes it, in the zone of whoever reads.
  const clock = (at) => {
    const minutes = -at.getTimezoneOffset();
    const rest = Math.abs(minutes) % 60;
    const zone = "UTC" + (minutes ? (minutes < 0 ? "-" : "+") + Math.floor(Math.abs(minutes) / 60) + (rest ? ":" + two(rest) : "") : "");
    const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
    const today = at.toDateString() === new Date().toDateString();
    return `${today ? "" : day + " "}${two(at.getHours())}:${two(at.getMinutes())} ${zone}`;
  };

  for (const place of document.querySelectorAll("time[datetime]")) {
    const at = new Date(place.dateTime);
    if (!Number.isNaN(at.getTime())) place.textContent = clock(at);
  }

  // "2 hours 5 minutes", as the server writes durations.
  const units = (document.body.dataset.units || "").split(" ");
  const duration = (seconds) => {
    const sizes = [86400, 3600, 60, 1];
    const named = (count, place) => `${count} ${units[2 * place + (count === 1 ? 0 : 1)]}`;
    for (let place = 0; place < 4; place += 1) {
      if (seconds < sizes[place] && place < 3) continue;
      const count = Math.floor(seconds / sizes[place]);
      const rest = place < 2 ? Math.floor((seconds % sizes[place]) / sizes[place + 1]) : 0;
      return named(count, place) + (rest ? " " + named(rest, place + 1) : "");
    }
    return "";
  };

  // Seconds left by the server's clock, counted by a clock that only runs: what time this machine thinks it is plays no part.
  const began = performance.now();
  for (const place of document.querySelectorAll("[data-left]")) {
    const pattern = place.textContent;
    const first = Number(place.dataset.left);
    const shown = duration(first);
    const tick = () => {
      const left = Math.max(0, Math.ceil(first - (performance.now() - began) / 1000));
      place.textContent = left > 0 ? (pattern.includes(shown) ? pattern.replace(shown, duration(left)) : `(${duration(left)})`) : "";
      if (left > 0) return void setTimeout(tick, 1000);
      const over = place.closest("[data-when-over]");
      if (over && first > 0) window.location.replace(over.dataset.whenOver); // a page that comes back without time left stays
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
