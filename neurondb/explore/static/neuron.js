// The neuron page: tabs that switch in place, tokens that the keyboard can read, copying.

/** Links with data-swap fetch their page and put its regions in place of this page's. */
async function swap(link, push = true) {
  const ids = link.dataset.swap.split(" ");
  const regions = ids.map((id) => document.getElementById(id));
  for (const region of regions) region.setAttribute("aria-busy", "true");
  const focused = document.activeElement?.id;
  try {
    const answer = await fetch(link.href);
    if (!answer.ok) throw new Error(answer.statusText);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const [i, id] of ids.entries()) regions[i].replaceWith(page.getElementById(id));
  } catch {
    location.assign(link.href);
    return;
  }
  if (push) history.pushState({}, "", link.href.split("#")[0]);
  prepare();
  document.dispatchEvent(new Event("swapped"));
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[data-swap]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  swap(link);
});
addEventListener("popstate", () => location.reload());

/** Make links in [data-tabs] a list of tabs: arrow keys choose, one of them is in the tab order. */
function tabs(list) {
  const links = [...list.querySelectorAll("a")];
  const panel = list.closest("section");
  const current = links.find((link) => link.getAttribute("aria-current") === "true") ?? links[0];
  list.setAttribute("role", "tablist");
  for (const link of links) {
    link.setAttribute("role", "tab");
    link.setAttribute("aria-selected", String(link === current));
    link.removeAttribute("aria-current");
    link.setAttribute("aria-controls", panel.id);
    link.tabIndex = link === current ? 0 : -1;
  }
  list.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const at = links.indexOf(document.activeElement);
    const to = { Home: 0, End: links.length - 1 }[event.key] ?? (step && (at + step + links.length) % links.length);
    if (to === undefined || at < 0) return;
    event.preventDefault();
    links[to].focus();
    links[to].click();
  });
}

/** Arrow keys step through the tokens of a focused window and say their values. */
function tokens(row) {
  const all = [...row.querySelectorAll(".t[title]")];
  let at = all.findIndex((token) => token.classList.contains("peak"));
  const show = () => tip(all[at]);
  row.addEventListener("focus", show);
  row.addEventListener("blur", () => tip());
  row.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    at = Math.min(Math.max(at + step, 0), all.length - 1);
    show();
  });
}

const bubble = document.createElement("div");
bubble.className = "tip";
bubble.setAttribute("role", "status");
bubble.hidden = true;
document.body.append(bubble);

/** Show what a token's title says below it; nothing hides it. */
function tip(token) {
  document.querySelector(".t.at")?.classList.remove("at");
  bubble.hidden = !token;
  if (!token) return;
  token.classList.add("at");
  bubble.textContent = `${token.textContent} ${token.title}`;
  const box = token.getBoundingClientRect();
  const left = Math.min(box.left, document.documentElement.clientWidth - bubble.offsetWidth - 8);
  bubble.style.left = `${Math.max(left, 4) + scrollX}px`;
  bubble.style.top = `${box.bottom + scrollY + 4}px`;
}

async function copy(button, text) {
  const said = [...button.childNodes];
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not allowed";
  }
  setTimeout(() => button.replaceChildren(...said), 1500);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-copy]");
  if (button) copy(button, button.dataset.copy);
});

/** The address of what is shown now: the choices of the address, else those that the page made. */
function shared(panel) {
  const bookmark = document.querySelector("a[rel=bookmark]");
  const address = new URL(bookmark.href);
  for (const [key, value] of new URLSearchParams(location.search))
    if (address.searchParams.has(key)) address.searchParams.set(key, value);
  if (panel) address.searchParams.set("panel", panel);
  return address.href;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-share]");
  if (button) copy(button, shared(button.dataset.share));
});

/** Each panel gets a button that copies a link to it as it is now. */
function share(heading) {
  const panel = heading.closest("section").id || heading.id;
  if (!panel || heading.nextElementSibling?.matches(".share")) return;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "share";
  button.dataset.share = panel;
  const what = document.createElement("span");
  what.className = "unseen";
  what.textContent = ` to ${heading.textContent.trim()}`;
  button.append("link", what);
  heading.after(button);
}

/** A link to a panel leads to it, and shows which one is meant. */
function showPanel() {
  const name = new URLSearchParams(location.search).get("panel");
  const found = name && !location.hash && document.getElementById(name);
  const panel = found && (found.closest("section") ?? found);
  if (!panel || !panel.closest("main")) return;
  panel.classList.add("shared");
  panel.scrollIntoView({ behavior: "instant" });
}

/** Do to new parts of the page what scripts alone can. */
function prepare() {
  for (const button of document.querySelectorAll("[data-copy], [data-share]")) button.hidden = !navigator.clipboard;
  if (navigator.clipboard && document.querySelector("a[rel=bookmark]"))
    for (const heading of document.querySelectorAll("main section > h2")) share(heading);
  for (const list of document.querySelectorAll("[data-tabs]:not([role])")) tabs(list);
  for (const row of document.querySelectorAll("[data-values]:not(.ready)")) {
    row.classList.add("ready");
    tokens(row);
  }
}
prepare();
showPanel();
