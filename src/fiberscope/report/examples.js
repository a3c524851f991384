"use strict";
document.querySelectorAll("[data-example]").forEach(example => {
  const corners = [...example.querySelectorAll("[data-corner]")].map(image => image.src);
  const under = example.querySelector("[data-under]"), over = example.querySelector("[data-over]");
  const slider = example.querySelector("input");
  if (!slider) return;
  slider.addEventListener("input", () => {
    const place = Number(slider.value), first = Math.min(Math.floor(place), corners.length - 2);
    under.src = corners[first];
    over.src = corners[first + 1];
    over.style.opacity = place - first;
  });
});
