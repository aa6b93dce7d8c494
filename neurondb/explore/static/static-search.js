// The search of a site of files: terms side by side, over the index that search-index.js holds.

const { numbers, models, folders, classes, tokens, neurons } = window.neurondbIndex;
const AT_ONCE = 100;
const TERM = /\|?\w+\|?\s*(?:>=|<=|=|>|<)\s*(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\S+)|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\S+/g;
const COMPARISON = /^(\|?)(\w+)\|?\s*(>=|<=|=|>|<)\s*(.+)$/s;
const COMPARE = {
  ">": (a, b) => a > b,
  "<": (a, b) => a < b,
  ">=": (a, b) => a >= b,
  "<=": (a, b) => a <= b,
  "=": (a, b) => a === b,
};

const isQuoted = (text) => /^'.*'$|^".*"$/s.test(text);

/** What a literal in quotes stands for; \n, \t and \u0041 are read as in the find language. */
function unquote(text) {
  if (!isQuoted(text)) return text;
  const inside = text.slice(1, -1);
  return inside.replace(/\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|.)/gs, (_, code) => {
    if (code.length > 1) return String.fromCodePoint(parseInt(code.slice(1), 16));
    return { n: "\n", t: "\t", r: "\r" }[code] ?? code;
  });
}

/** A neuron of the index by its parts. */
const parts = ([model, name, values, cls, role, description, top, shown]) => ({
  model: models[model], folder: folders[model], name, values, cls, role, description, top, shown,
});

/** Return what a term asks of a neuron, or null for a term that cannot be understood. */
function meaning(term) {
  if (isQuoted(term)) {
    const wanted = tokens.indexOf(unquote(term));
    return (one) => one.shown.includes(wanted);
  }
  const compared = COMPARISON.exec(term);
  if (compared) {
    const [, absolute, column, operator, given] = compared;
    const value = unquote(given);
    if (column === "model" && operator === "=") return (one) => one.model === value;
    if (column === "class" && operator === "=") return (one) => one.cls === value.replaceAll("-", " ");
    if (column === "role" && operator === "=") return (one) => one.role === value;
    const place = numbers.indexOf(column);
    if (place < 0 || Number.isNaN(Number(value))) return null;
    return (one) => {
      const held = one.values[place];
      return held !== null && COMPARE[operator](absolute ? Math.abs(held) : held, Number(value));
    };
  }
  if (/^\d+\.\d+(\.\d+)?$/.test(term)) return (one) => one.name === term;
  const word = term.toLowerCase();
  const asClass = word.replaceAll("-", " ");
  if (asClass in classes) return (one) => one.cls === asClass;
  return (one) =>
    one.role === word || one.model.toLowerCase().includes(word) || one.description.toLowerCase().includes(word);
}

/** Return the neurons that an expression describes; throws on a term that has no meaning here. */
function search(expression) {
  const asked = (expression.match(TERM) ?? []).map((term) => {
    const found = meaning(term);
    if (!found) throw new Error(`${term} is nothing that this search understands`);
    return found;
  });
  return neurons.map(parts).filter((one) => asked.every((holds) => holds(one)));
}

function cell(row, content, name = "td") {
  const made = document.createElement(name);
  if (name === "th") made.scope = "row";
  made.append(content);
  row.append(made);
  return made;
}

function span(cls, text) {
  const made = document.createElement("span");
  made.className = cls;
  made.textContent = text;
  return made;
}

const signed = (value) => (value === null ? "–" : (value < 0 ? "−" : "+") + Math.abs(value).toFixed(3));

function show(one) {
  const row = document.createElement("tr");
  cell(row, one.model);
  const link = document.createElement("a");
  link.className = "neuron";
  link.href = `${folders[models.indexOf(one.model)]}/${one.name}.html`;
  link.textContent = one.name;
  cell(row, link, "th");
  cell(row, one.description || "–").className = "described";
  cell(row, one.cls ? span(`class ${classes[one.cls] ?? ""}`, one.cls) : "–");
  const value = (column) => one.values[numbers.indexOf(column)];
  for (const column of ["gate_in", "gate_out", "in_out"]) cell(row, signed(value(column))).className = "n";
  const freq = value("freq");
  cell(row, freq === null ? "–" : `${(100 * freq).toFixed(1)}%`).className = "n";
  cell(row, one.role || "–");
  cell(row, one.top ? span("token", one.top) : "–");
  return row;
}

const asked = new URLSearchParams(location.search).get("q") ?? "";
document.querySelector("#q").value = asked;
const said = document.querySelector("#found");
const table = document.querySelector("table.neurons");
const more = document.querySelector("#more");
try {
  const found = search(asked);
  const count = found.length.toLocaleString("en");
  const what = `neuron${found.length === 1 ? "" : "s"}`;
  const all = neurons.length.toLocaleString("en");
  said.textContent = asked ? `${count} of ${all} ${what} of this site` : `${count} ${what}`;
  let shown = 0;
  const showMore = () => {
    table.tBodies[0].append(...found.slice(shown, shown + AT_ONCE).map(show));
    shown += AT_ONCE;
    more.hidden = shown >= found.length;
    table.hidden = !found.length;
  };
  more.addEventListener("click", showMore);
  showMore();
} catch (error) {
  said.textContent = error.message;
  said.className = "warning";
}
