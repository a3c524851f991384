"use strict";
(function () {
  const columns = JSON.parse(document.getElementById("columns").textContent);
  const { groups, kinds, labels, classes, tiles } = columns;
  const UNDECIDED = -2, STEP = 48;
  const filters = document.getElementById("filters"), list = document.getElementById("tiles");
  const more = document.getElementById("more"), count = document.getElementById("count");
  const pages = [...document.querySelectorAll("[data-sample]")];
  const conditions = Object.fromEntries(Object.entries(columns.conditions)
    .map(([layer, [samples, values]]) => [layer, new Map(samples.map((sample, i) => [sample, values[i]]))]));
  const numbers = new Intl.NumberFormat("en");
  const measured = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 }); // as the tables above write numbers
  const counted = (number, thing) => `${numbers.format(number)} ${thing}${number === 1 ? "" : "s"}`;
  let found = [], shown = 0;

  function make(name, properties = {}, ...children) {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...children);
    return element;
  }
  const condition = (group, sample) => conditions[group.layer]?.get(sample);
  const className = sample => classes[labels[sample]] ?? labels[sample];
  const labelled = sample => labels ? `sample ${sample}, class ${className(sample)}` : `sample ${sample}`;
  const dimension = value => value === UNDECIDED ? "not known" : numbers.format(value);
  function short(value) {
    if (value === null || value === undefined) return "-";
    return value !== 0 && (value >= 1e9 || value < 1e-4) ? value.toExponential(2) : measured.format(value);
  }
  function kindOf(group, sample) {
    const kind = kinds[group.kinds[sample]];
    return make("span", { className: kind ? `kind ${kind}` : "", textContent: kind || "not judged yet" });
  }

  // ---- pictures: cut out of sheets, which are decoded when the first of their pictures is wanted
  let encoded;
  const sheets = new Map();
  function sheet(number) {
    encoded = encoded || JSON.parse(document.getElementById("sheets").textContent);
    if (!sheets.has(number)) {
      const image = new Image();
      image.src = "data:image/webp;base64," + encoded[number];
      sheets.set(number, image.decode().then(() => image));
    }
    return sheets.get(number);
  }
  function picture(sample, size) {
    if (!tiles || sample >= tiles.shown) return null;
    const { width, height } = tiles, place = sample % tiles.each;
    const canvas = make("canvas", { width, height });
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `picture of ${labelled(sample)}`);
    canvas.style.width = `${size * Math.min(1, width / height)}px`;
    canvas.style.aspectRatio = `${width} / ${height}`;
    sheet(Math.floor(sample / tiles.each)).then(image => canvas.getContext("2d").drawImage(image,
      place % tiles.columns * width, Math.floor(place / tiles.columns) * height, width, height, 0, 0, width, height));
    return canvas;
  }

  // ---- the gallery
  const RANK = new Map(["singleton", "bounded", "unbounded"].map((kind, rank) => [kind, rank]));
  const LAST = Number.MAX_VALUE;
  const saturated = (group, sample) => group.saturated?.[sample] ?? 0;
  const equations = (group, sample) => group.positives[sample] - saturated(group, sample);
  const openness = (group, a, b) =>
    RANK.get(kinds[group.kinds[a]]) - RANK.get(kinds[group.kinds[b]])
    || group.dimension[a] - group.dimension[b] || equations(group, b) - equations(group, a) || a - b;
  const known = (group, sample) => group.dimension[sample] === UNDECIDED ? null : group.dimension[sample];
  const ascending = value => (group, a, b) => (value(group, a) ?? LAST) - (value(group, b) ?? LAST) || a - b;
  const descending = value => (group, a, b) => (value(group, b) ?? -LAST) - (value(group, a) ?? -LAST) || a - b;
  const decided = (group, sample) => RANK.has(kinds[group.kinds[sample]]);
  const margin = (group, sample) => group.margin[sample];
  const ORDERS = {
    sample: { compare: (group, a, b) => a - b },
    most: { compare: openness, among: decided },
    least: { compare: (group, a, b) => openness(group, b, a), among: decided },
    largest: { compare: descending(known) },
    smallest: { compare: ascending(known) },
    margin: { compare: ascending(margin) },
    worst: { compare: descending(condition) },
    best: { compare: ascending(condition) },
  };
  const value = name => filters.elements[name]?.value ?? "";
  function search() {
    const group = groups[Number(value("group"))], order = ORDERS[value("order")];
    const { compare, among = () => true } = order;
    found = Array.from({ length: columns.samples }, (_, sample) => sample).filter(sample =>
      (value("kind") === "" || group.kinds[sample] === value("kind"))
      && (value("label") === "" || String(labels[sample]) === value("label"))
      && among(group, sample));
    found.sort((a, b) => compare(group, a, b));
    list.replaceChildren();
    shown = 0;
    extend();
    offerSteps();
  }
  function extend() {
    const group = groups[Number(value("group"))];
    list.append(...found.slice(shown, shown + STEP).map(sample => tile(group, sample)));
    shown = Math.min(found.length, shown + STEP);
    more.hidden = shown === found.length;
    count.textContent = `${numbers.format(found.length)} of ${counted(columns.samples, "sample")}`
      + (more.hidden ? "." : `, the first ${numbers.format(shown)} shown.`);
  }
  function tile(group, sample) {
    const link = make("a", { href: `#sample-${sample}` });
    const lines = [make("strong", { textContent: `sample ${sample}` })];
    if (labels) lines.push(make("span", { textContent: `class ${className(sample)}` }));
    lines.push(kindOf(group, sample), make("span", { textContent: `dimension ${dimension(group.dimension[sample])}` }),
      make("span", { textContent: counted(group.positives[sample], "positive") }));
    if (saturated(group, sample)) lines.push(make("span", { textContent: `${numbers.format(saturated(group, sample))} saturated` }));
    if (condition(group, sample) !== undefined)
      lines.push(make("span", { textContent: `condition ${short(condition(group, sample))}` }));
    link.append(...[picture(sample, 84)].filter(Boolean), ...lines);
    return make("li", {}, link);
  }

  // ---- one sample; the next one is that in the order of the gallery
  const go = document.getElementById("go"), steps = [...go.querySelectorAll("[data-step]")];
  const heading = document.getElementById("sample-heading");
  let current = 0;
  const saturates = groups.some(group => group.saturated);
  const HEADINGS = ["layer", "domain", "kind", "dimension", "positives", ...(saturates ? ["saturated"] : []), "margin", "condition number"];
  function row(group, sample) {
    const reason = columns.reasons[group.reason[sample]];
    const kind = make("td", {}, kindOf(group, sample), ...(reason ? [make("br"), make("span", { className: "soft", textContent: reason })] : []));
    const counted = [dimension(group.dimension[sample]), numbers.format(group.positives[sample]),
      ...(saturates ? [numbers.format(saturated(group, sample))] : []), short(group.margin[sample]),
      short(condition(group, sample))];
    return make("tr", {}, make("td", { textContent: group.name }), make("td", { className: "name", textContent: group.domain }), kind,
      ...counted.map(text => make("td", { className: "number", textContent: text })));
  }
  function show(sample) {
    const head = make("tr", {}, ...HEADINGS.map((text, i) =>
      make("th", { scope: "col", textContent: text, className: i > 2 ? "number" : "" })));
    const table = make("table", {}, make("thead", {}, head), make("tbody", {}, ...groups.map(group => row(group, sample))));
    const wide = make("div", { className: "wide" }, table);
    const title = labelled(sample);
    const beside = [picture(sample, 168)].filter(Boolean);
    if (tiles && !beside.length)
      beside.push(make("p", { className: "soft", textContent: "Its picture is left out, to keep this file small." }));
    heading.textContent = title[0].toUpperCase() + title.slice(1);
    document.getElementById("shown").replaceChildren(...beside, wide);
    pages.forEach(page => { page.hidden = Number(page.dataset.sample) !== sample; });
    go.elements.sample.value = current = sample;
    offerSteps();
  }
  function offerSteps() {
    steps.forEach(button => { button.disabled = stepped(button) === undefined; });
  }
  function stepped(button) {
    const place = found.indexOf(current);
    return place < 0 ? undefined : found[place + Number(button.dataset.step)];
  }
  function follow() {
    const sample = Number(/^#sample-(\d+)$/.exec(location.hash)?.[1] ?? NaN);
    if (!(sample < columns.samples)) return false;
    show(sample);
    heading.scrollIntoView();
    heading.focus({ preventScroll: true });
    return true;
  }

  filters.addEventListener("change", search);
  filters.addEventListener("submit", event => event.preventDefault());
  more.addEventListener("click", () => {
    const next = shown;
    extend();
    list.children[next].firstChild.focus();
  });
  go.addEventListener("submit", event => {
    event.preventDefault();
    location.hash = `sample-${go.elements.sample.value}`;
  });
  steps.forEach(button => button.addEventListener("click", () => { location.hash = `sample-${stepped(button)}`; }));
  addEventListener("hashchange", follow);
  search();
  if (!follow()) show(Number(go.elements.sample.value));
})();
