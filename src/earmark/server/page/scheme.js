// Dark and light: as the system has it, until the switch is used.

const system = matchMedia("(prefers-color-scheme: dark)");

function kept(value) {
  try {
    if (value) localStorage.setItem("scheme", value);
    return localStorage.getItem("scheme");
  } catch {
    return null; // a browser that keeps nothing
  }
}

// changed() is called when colours are others.
export function switchScheme(button, changed) {
  const show = (chosen) => {
    const isDark = chosen ? chosen === "dark" : system.matches;
    if (chosen) document.documentElement.dataset.scheme = chosen;
    button.textContent = isDark ? "Light" : "Dark";
    button.dataset.other = isDark ? "light" : "dark";
    button.setAttribute("aria-label", isDark ? "Light colours" : "Dark colours");
    changed();
  };
  button.addEventListener("click", () => {
    const { other } = button.dataset;
    kept(other);
    show(other);
  });
  system.addEventListener("change", () => show(kept()));
  show(kept());
}
