"use strict";
for (const browse of document.querySelectorAll(".browse")) {
  const list = browse.querySelector(".entries"), output = browse.querySelector("output");
  const search = browse.querySelector("input"), order = browse.querySelector(".order");
  const menus = [...browse.querySelectorAll("select:not(.order)")];
  const entries = [...list.children].map((element, place) => ({
    element, place, key: element.dataset.key === "" ? NaN : Number(element.dataset.key), text: null,
    facets: menus.map((m) => (element.dataset[m.dataset.of] || "").split("\n")),
  }));
  const text = (e) => (e.text ??= e.element.textContent.toLowerCase());
  const apply = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const e of entries) {
      const fits = menus.every((m, i) => m.selectedIndex === 0 || e.facets[i].includes(m.value)) &&
        words.every((w) => text(e).includes(w));
      e.element.hidden = !fits;
      shown += fits;
    }
    output.textContent = shown + " of " + entries.length;
  };
  const arrange = () => {
    const sign = Number(order.value);
    const by = (a, b) => {
      if (sign === 0) return a.place - b.place;
      if (Number.isNaN(a.key) || Number.isNaN(b.key)) return Number.isNaN(a.key) - Number.isNaN(b.key);
      return sign * (a.key - b.key) || a.place - b.place;
    };
    list.append(...[...entries].sort(by).map((e) => e.element));
  };
  search.addEventListener("input", apply);
  for (const m of menus) m.addEventListener("change", apply);
  if (order) order.addEventListener("change", arrange);
}
