// Texts in the language of the page, and what its parts share; the other scripts draw.
"use strict";

addEventListener("load", () => document.getElementById("play-late-icons")?.remove());
oneByOne.networks ??= {}; // what a file networks/NAME.js adds
oneByOne.redraw = []; // called when the theme has changed, and at the start

{
  const root = document.getElementById("play");
  oneByOne.language = document.documentElement.lang.slice(0, 2) === "zh" ? "zh" : "en";

  // The text of a key, with its {names} replaced by values.
  oneByOne.text = (key, values = {}) => {
    const text = oneByOne.strings[oneByOne.language][key];
    if (typeof text !== "string") return text;
    return text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
  };

  // A number for a reader: three decimals at most, a true minus sign, no "−0".
  oneByOne.number = (value, digits = 3) => {
    const text = String(Number(value.toFixed(digits)));
    return (text === "-0" ? "0" : text).replace("-", "−");
  };

  // Loads the script at `source`, which puts `name` into the object `into`. Not twice.
  const loading = {};
  oneByOne.load = (into, name, source) =>
    (loading[source] ??= new Promise((resolve, reject) => {
      if (name in into) return resolve();
      const script = document.createElement("script");
      script.src = source;
      script.onload = resolve;
      script.onerror = () => {
        delete loading[source];
        script.remove();
        reject(new Error(source));
      };
      document.head.append(script);
    }));

  oneByOne.colours = () => {
    const style = getComputedStyle(root);
    return (name) => style.getPropertyValue(`--play-${name}`).trim();
  };

  // A list from which arrow keys choose one item. Returns a function that marks item `n`.
  oneByOne.listbox = (list, choose) => {
    const items = () => [...list.querySelectorAll('[role="option"]')];
    let chosen = 0;
    const mark = (number) => {
      chosen = number;
      for (const [at, item] of items().entries()) {
        item.setAttribute("aria-selected", String(at === number));
        item.id ||= `${list.id}-${at}`;
      }
      const item = items()[number];
      if (!item) return;
      list.setAttribute("aria-activedescendant", item.id);
      // Scrolls the list, never the page.
      const room = item.getBoundingClientRect();
      const around = list.getBoundingClientRect();
      if (room.left < around.left) list.scrollLeft += room.left - around.left - 8;
      if (room.right > around.right) list.scrollLeft += room.right - around.right + 8;
      if (room.top < around.top) list.scrollTop += room.top - around.top - 8;
      if (room.bottom > around.bottom) list.scrollTop += room.bottom - around.bottom + 8;
    };
    const perRow = () => {
      const tops = items().map((item) => item.offsetTop);
      const next = tops.findIndex((top) => top !== tops[0]);
      return next < 0 ? tops.length : next;
    };
    list.addEventListener("keydown", (event) => {
      const steps = {
        ...{ ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity },
        ...{ ArrowUp: -perRow(), ArrowDown: perRow() },
      };
      if (!(event.key in steps) || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      const last = items().length - 1;
      const to = chosen + steps[event.key];
      if (Math.abs(steps[event.key]) > 1 && Number.isFinite(to) && (to < 0 || to > last)) return;
      choose(Math.max(0, Math.min(last, to)));
    });
    list.addEventListener("click", (event) => {
      const item = event.target.closest('[role="option"]');
      if (item) choose(items().indexOf(item));
    });
    return mark;
  };

  const translate = () => {
    for (const element of root.querySelectorAll("[data-text]")) {
      element.textContent = oneByOne.text(element.dataset.text);
    }
    for (const element of root.querySelectorAll("[data-label]")) {
      element.setAttribute("aria-label", oneByOne.text(element.dataset.label));
    }
    for (const redraw of oneByOne.redraw) redraw();
  };

  // The figures have colours of the theme.
  new MutationObserver(() => oneByOne.redraw.forEach((redraw) => redraw())).observe(
    document.documentElement,
    { attributeFilter: ["data-theme"] },
  );
  oneByOne.translate = translate;
  // The icons of the theme may be loaded now (see LATE_ICONS in first_page.py).
  oneByOne.ready = () => {
    document.getElementById("play-late-icons")?.remove();
    root.dataset.ready = "";
  };
}
