"use strict";
// Tables that are wider than the screen say so, and can be scrolled by keys.
(function () {
  const tables = [...document.querySelectorAll(".wide")];
  const look = () => tables.forEach(table => {
    const hidden = table.scrollWidth > table.clientWidth + 1;
    table.classList.toggle("overflows", hidden);
    if (hidden && !table.hasAttribute("tabindex")) table.tabIndex = 0;
  });
  addEventListener("resize", look);
  new ResizeObserver(look).observe(document.body);
})();
