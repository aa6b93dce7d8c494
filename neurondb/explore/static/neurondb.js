// What pages do beyond HTML: draw charts when they come into view, move by keyboard.

/** A box is a stop of the keyboard and a landmark only while there is something to scroll in it. */
function reached(box) {
  const scrolls = box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight;
  if (scrolls) {
    box.setAttribute("role", "region");
    box.tabIndex = 0;
  } else {
    box.removeAttribute("role");
    box.removeAttribute("tabindex");
  }
}
const sizes = new ResizeObserver((changes) => {
  for (const { target } of changes) reached(target.closest(".scroll"));
});
function watchBoxes() {
  for (const box of document.querySelectorAll(".scroll")) {
    sizes.observe(box);
    sizes.observe(box.firstElementChild);
  }
}
watchBoxes();
document.addEventListener("swapped", watchBoxes);

const dark = matchMedia("(prefers-color-scheme: dark)");
let vega;

/** Load the chart library once, when the first chart comes into view. */
function library() {
  vega ??= new Promise((resolve, reject) => {
    loaded(document.body.dataset.vega).then(() => resolve(window.neurondbEmbed), () =>
      reject(new Error("the chart library could not be loaded")));
  });
  return vega;
}

const scripts = new Map();

/** Load a script once; browsers load scripts from a disk too, where they fetch nothing. */
function loaded(address) {
  const { href } = new URL(address, location.href);
  if (!scripts.has(href)) {
    scripts.set(href, new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = href;
      script.onload = () => resolve(href);
      script.onerror = () => reject(new Error("its file could not be loaded"));
      document.head.append(script);
    }));
  }
  return scripts.get(href);
}

/** The specification of a chart for a theme: asked of the site, or of the scripts of a site of files. */
async function specification(figure, theme) {
  if (figure.dataset.script === undefined) {
    const address = new URL(figure.dataset.spec, location.href);
    address.searchParams.set("theme", theme);
    const answer = await fetch(address);
    const spec = await answer.json();
    if (!answer.ok) throw new Error(spec.error);
    return spec;
  }
  const address = await loaded(figure.dataset.script);
  const { datasets, shared, themes } = window.neurondbFigures[address.split("/").at(-1)];
  await Promise.all(datasets.map((name) => loaded(new URL(`${name}.js`, address))));
  const large = datasets.map((name) => [name, window.neurondbData[name]]);
  const spec = { ...shared, ...themes[theme] };
  // Drawing marks the rows that it draws: a copy lets them be drawn again.
  return structuredClone({ ...spec, datasets: { ...spec.datasets, ...Object.fromEntries(large) } });
}

/** What an axis and the padding around a chart take of its width, and what lies between panels. */
const DECORATION = 100;
const GAP = 20;
/** What the axis of a further column takes, where each has its own. */
const AXIS = 40;

/** Panels fill the width, in fewer columns where it is narrow; vega-lite does so for single views only. */
function panels(spec, width) {
  const { width: wide, height } = spec.spec;
  const between = GAP + (spec.resolve?.scale?.y === "independent" ? AXIS : 0);
  const room = (columns) => Math.floor((width - DECORATION - (columns - 1) * between) / columns);
  let columns = spec.columns ?? 1;
  while (columns > 1 && room(columns) < Math.min(wide, 100)) columns -= 1;
  const each = Math.min(room(columns), columns > 1 ? 1.8 * wide : 4 * wide);
  // Rows of panels take no number of columns: vega-lite warns of it.
  const side = spec.facet?.row || spec.facet?.column ? {} : { columns };
  const { facet } = spec;
  if (facet?.header?.labelLimit) side.facet = { ...facet, header: { ...facet.header, labelLimit: each } };
  return { ...spec, ...side, spec: { ...spec.spec, width: each, height: height === wide ? Math.min(each, 260) : height } };
}

/** What the menu and the padding leave of a chart's width for its title. */
const BESIDE_TITLE = 66;
const LETTER = 0.6;

/** Break lines at blanks so that each fits, in letters of a size in pixels. */
function broken(lines, width, size) {
  const most = (width - BESIDE_TITLE) / (LETTER * size);
  return [lines].flat().flatMap((line) =>
    line.split(" ").reduce((done, word) => {
      const last = done.at(-1);
      if (last !== undefined && last.length + word.length < most) done[done.length - 1] = `${last} ${word}`;
      else done.push(word);
      return done;
    }, []),
  );
}

function titled(title, width, sizes) {
  if (!title) return title;
  const { text, subtitle, ...rest } = title.text === undefined ? { text: title } : title;
  const below = subtitle && { subtitle: broken(subtitle, width, 0.9 * (sizes?.subtitleFontSize ?? 12)) };
  return { ...rest, text: broken(text, width, sizes?.fontSize ?? 15), ...below };
}

/** The legend goes below panels and, on a phone, below everything, lest it take the chart's place. */
function fitted(spec, width) {
  const narrow = width <= 480;
  spec = { ...spec, title: titled(spec.title, width, spec.config?.title) };
  if (narrow || spec.spec) {
    const below = narrow && { columns: 1, gradientLength: 80, layout: { bottom: { direction: "vertical", anchor: "start" } } };
    const legend = { ...spec.config?.legend, orient: "bottom", columns: 8, ...below };
    spec = { ...spec, config: { ...spec.config, legend } };
  }
  return spec.spec?.width ? panels(spec, width) : spec;
}

async function draw(figure) {
  let canvas = figure.querySelector(".drawn");
  if (!canvas) {
    canvas = document.createElement("div");
    canvas.className = "drawn";
    figure.prepend(canvas);
  }
  try {
    const theme = dark.matches ? "dark" : "light";
    const [embed, spec] = await Promise.all([library(), specification(figure, theme)]);
    await embed(canvas, fitted(spec, canvas.clientWidth), {});
    figure.dataset.state = "drawn";
  } catch (error) {
    canvas.textContent = `No chart: ${error.message}`;
    figure.dataset.state = "failed";
  }
}

const coming = new IntersectionObserver(
  (entries) => {
    for (const entry of entries.filter((one) => one.isIntersecting)) {
      coming.unobserve(entry.target);
      draw(entry.target);
    }
  },
  { rootMargin: "400px" },
);
for (const figure of document.querySelectorAll("figure.chart")) coming.observe(figure);
dark.addEventListener("change", () => {
  for (const figure of document.querySelectorAll("figure[data-state=drawn]")) draw(figure);
});

/** Keys may be turned off: who speaks to a computer, or hits keys unawares, must not be moved. */
const KEYS = "neurondb-keys";
let silent = false;
try {
  silent = localStorage.getItem(KEYS) === "off";
} catch {
  // Nothing is remembered here: keys are on in every page.
}
function silence(off) {
  silent = off;
  try {
    localStorage.setItem(KEYS, off ? "off" : "on");
  } catch {
    // As above: in this page only.
  }
}

/** Keys: those of links and fields that carry data-key; none while somebody types. */
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
  if (event.key === "Escape" && typing) event.target.blur();
  if (silent || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "?") return tellKeys(event);
  const target =
    event.key === "/" ? document.querySelector("#q") : document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  if (!target) return;
  event.preventDefault();
  if (target.matches("input")) target.select();
  else target.click();
});

/** What the keys of this page do, from the elements that have them. */
function tellKeys(event) {
  event.preventDefault();
  const open = document.querySelector("dialog.keys");
  if (open) return open.close();
  const keys = [...document.querySelectorAll("[data-key]")].map((one) => [
    one.dataset.key,
    one.getAttribute("aria-label") || one.title || one.textContent.trim(),
  ]);
  const dialog = document.createElement("dialog");
  dialog.className = "keys";
  dialog.setAttribute("aria-label", "Keys");
  const list = document.createElement("dl");
  list.className = "facts";
  for (const [key, does] of [["/", "search"], ...keys, ["?", "these keys"]]) {
    const term = document.createElement("dt");
    term.append(document.createElement("kbd"));
    term.firstChild.textContent = key;
    const detail = document.createElement("dd");
    detail.textContent = does;
    list.append(term, detail);
  }
  const choice = document.createElement("label");
  const box = document.createElement("input");
  box.type = "checkbox";
  box.checked = !silent;
  box.addEventListener("change", () => silence(!box.checked));
  choice.append(box, " use these keys");
  const close = document.createElement("button");
  close.textContent = "Close";
  close.addEventListener("click", () => dialog.close());
  dialog.append(list, choice, close);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
for (const hint of document.querySelectorAll("footer .keys")) {
  hint.hidden = false;
  hint.addEventListener("click", tellKeys);
}
