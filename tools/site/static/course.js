// Who reads with the keyboard can scroll a wide table; what is printed is dark on white.
document.addEventListener("DOMContentLoaded", () => {
  for (const table of document.querySelectorAll("article table")) {
    if (table.scrollWidth > table.clientWidth) table.tabIndex = 0;
  }
});

// A section that one can leave out is folded: its heading and first sentence stay.
document.addEventListener("DOMContentLoaded", () => {
  for (const heading of document.querySelectorAll("article section > h2")) {
    if (!/^(Deeper: |深入：)/.test(heading.textContent)) continue;
    const details = document.createElement("details");
    const summary = document.createElement("summary");
    details.className = "deeper";
    const rest = [...heading.parentElement.childNodes];
    heading.parentElement.append(details);
    details.append(summary, ...rest.slice(rest.indexOf(heading) + 1));
    summary.append(heading);
    const first = details.querySelector(":scope > p");
    if (first) summary.append(first);
  }
  window.addEventListener("hashchange", unfold);
  unfold();
});
// A link to something inside a folded section opens it.
function unfold() {
  const id = decodeURIComponent(location.hash.slice(1));
  const target = id && document.getElementById(id);
  if (!target) return;
  const around = target.closest("details") ?? target.querySelector(":scope > details.deeper");
  if (around && !around.open) {
    around.open = true;
    target.scrollIntoView();
  }
}

let theme = "";
let folded = [];
window.addEventListener("beforeprint", () => {
  theme = document.documentElement.dataset.theme;
  document.documentElement.dataset.theme = "light";
  folded = [...document.querySelectorAll("details.deeper:not([open])")];
  for (const details of folded) details.open = true;
});
window.addEventListener("afterprint", () => {
  document.documentElement.dataset.theme = theme;
  for (const details of folded) details.open = false;
});
