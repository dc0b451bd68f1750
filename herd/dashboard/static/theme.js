// Sets the chosen theme before the first paint, so that nothing flashes. A classic script: modules come later.
"use strict";
(() => {
  try {
    const chosen = localStorage.getItem("herd-theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch { /* storage is off: the system's theme it is */ }
})();
