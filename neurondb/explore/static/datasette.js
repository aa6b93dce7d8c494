// Datasette's own pages, where they say too little to a screen reader or leave out the keyboard.

document.documentElement.lang ||= "en";
document.querySelector("section.content")?.setAttribute("role", "main");

const NAMES = {
  'select[name^="_filter_column"]': "column",
  'select[name^="_filter_op"]': "comparison",
  'input[name^="_filter_value"]': "value",
  "#sort_by": "sort by",
  "#sql-editor, .CodeMirror textarea, .cm-content": "SQL",
};
function name(selector, label) {
  for (const one of document.querySelectorAll(selector)) {
    if (!one.labels?.length && !one.hasAttribute("aria-label")) one.setAttribute("aria-label", label);
  }
}

/** No heading is more than a level below the one before it. */
function order() {
  let level = 0;
  for (const one of document.querySelectorAll("h1, h2, h3, h4, h5, h6")) {
    const given = Number(one.tagName[1]);
    level = Math.min(given, level + 1);
    if (level !== given) one.setAttribute("aria-level", level);
  }
}

function boxes() {
  const found = document.querySelectorAll(".table-wrapper, pre");
  for (const [i, box] of [...found].filter((one) => one.scrollWidth > one.clientWidth).entries()) {
    box.tabIndex = 0;
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", box.matches("pre") ? `SQL, ${i + 1}` : `rows, ${i + 1}`);
  }
}

/** Menus of columns open by keyboard too. */
function menus() {
  for (const icon of document.querySelectorAll("svg.dropdown-menu-icon")) {
    icon.setAttribute("role", "button");
    icon.setAttribute("aria-label", `actions on ${icon.closest("th")?.dataset.column ?? "the column"}`);
    icon.setAttribute("tabindex", "0");
    icon.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      icon.dispatchEvent(new MouseEvent("click", { bubbles: true }));
    });
  }
}

order();
// Menus and the editor are made by scripts that may run after this one.
addEventListener("load", () => {
  for (const [selector, label] of Object.entries(NAMES)) name(selector, label);
  boxes();
  menus();
});
