// The lists beside and below the photo. Names come from files: they are text, never HTML.

const LEAST_SIMILAR = 0.01; // less is nothing in common

export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

export const words = (name) => name.replaceAll("_", " ");
export const percent = (score) => `${Math.round(100 * score)} %`;

// Vehicles and their parts with check boxes. `on` has: toggle(parts, shown), light(part or null), pin(part).
export function listParts(parts, on) {
  const vehicles = new Map();
  for (const part of parts) {
    if (!vehicles.has(part.vehicle_id)) vehicles.set(part.vehicle_id, []);
    vehicles.get(part.vehicle_id).push(part);
  }
  return [...vehicles].sort(([a], [b]) => a - b).map(([number, own]) => {
    const box = checkBox(own, on.toggle);
    const count = `Vehicle ${number} (${own.length} ${own.length === 1 ? "part" : "parts"})`;
    const head = element("label", { className: "head" }, box, ` ${count}`);
    return element("div", { className: "vehicle" }, head, ...own.map((part) => row(part, on)));
  });
}

export function checkBox(parts, toggle, box = element("input", { type: "checkbox" })) {
  const shown = parts.filter((part) => part.shown).length;
  box.checked = shown > 0;
  box.indeterminate = shown > 0 && shown < parts.length;
  box.onchange = () => toggle(parts, box.checked);
  return box;
}

function row(part, on) {
  const swatch = element("i");
  swatch.style.background = `rgb(${part.color})`;
  const name = element("span", { textContent: words(part.name) });
  const made = element("label", { className: "part" },
    checkBox([part], on.toggle), swatch, name, element("small", { textContent: percent(part.score) }));
  for (const name of ["mouseenter", "focusin"]) made.addEventListener(name, () => on.light(part));
  for (const name of ["mouseleave", "focusout"]) made.addEventListener(name, () => on.light(null));
  part.row = made;
  return made;
}

// What the knowledge graph says of a part; what is seen at the same vehicle is marked.
export function describePart(part, vocabulary, parts) {
  const known = vocabulary.classes.find((one) => one.name === part.name);
  const names = new Set(vocabulary.classes.map((one) => one.name));
  const seen = new Set(parts.filter((one) => one.vehicle_id === part.vehicle_id).map((one) => one.name));
  const facts = new Map();
  for (const [subject, predicate, object] of vocabulary.relations) {
    if (subject !== part.name) continue;
    if (!facts.has(predicate)) facts.set(predicate, []);
    facts.get(predicate).push(object);
  }
  const lines = [...facts].map(([predicate, objects]) => {
    const listed = objects.flatMap((name, i) => [
      i ? ", " : " ",
      seen.has(name) ? element("b", { textContent: `${words(name)} ✓` }) : words(name),
    ]);
    return element("p", {}, words(predicate), ...listed);
  });
  const title = `${words(part.name)}, ${percent(part.score)}, vehicle ${part.vehicle_id}`;
  const heading = lines.length ? "The knowledge graph says that it is (✓: found at this vehicle)" : "";
  return [
    element("h2", { textContent: title }),
    element("p", { textContent: known ? known.description : "" }),
    element("p", { className: "note", textContent: heading }),
    element("div", { className: "facts" }, ...lines),
  ];
}

// The exemplars of the gallery that the vehicles resemble.
export function listNeighbours(neighbours, gallery) {
  const heading = element("h2", { textContent: "Similar vehicles of the gallery, which the model looked at" });
  const note = (text) => element("p", { className: "note", textContent: text });
  if (!gallery.vehicles) return [heading, note("The gallery is empty: 'sav gallery build' fills one.")];
  const similar = neighbours.filter((one) => one.similarity >= LEAST_SIMILAR);
  if (!similar.length) return [heading, note("None of them is similar.")];
  const vehicles = [...new Set(similar.map((one) => one.of))];
  const rows = vehicles.flatMap((number) => {
    const cards = similar.filter((one) => one.of === number).map(card);
    return [...(vehicles.length > 1 ? [note(`to vehicle ${number}`)] : []), element("div", { className: "row" }, ...cards)];
  });
  const several = note("Vehicles are numbered here as the model told them apart before it looked; the list above may differ.");
  return [heading, ...rows, ...(vehicles.length > 1 ? [several] : [])];
}

function card(one) {
  const pictures = [one.photo, one.layout].filter(Boolean);
  const mirrored = one.mirrored ? ", mirrored" : "";
  return element("figure", {},
    ...pictures.map((src) => element("img", { src, alt: "" })),
    element("figcaption", {}, `similarity ${one.similarity.toFixed(3)}${mirrored}`,
      element("small", { textContent: one.id })));
}
