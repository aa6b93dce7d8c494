// Who annotates: the name is asked for once, and kept in this browser.

const WHO = "neurondb-who";
const fields = [...document.querySelectorAll("form:not(.edit form) input[name=source]")];

function recall() {
  try {
    return localStorage.getItem(WHO) ?? "";
  } catch {
    return ""; // Nothing is remembered here: every form asks.
  }
}

function remember(name) {
  try {
    localStorage.setItem(WHO, name);
  } catch {
    // As above: for this page only.
  }
}

/** Fill the fields of all forms; once there is a name, only the first form shows it. */
function fill(name, typed) {
  for (const [i, field] of fields.entries()) {
    if (field !== typed) field.value = name;
    if (i && field !== typed) field.closest("label").hidden = name !== "";
  }
}

fill(recall());
for (const field of fields) {
  field.addEventListener("input", () => {
    remember(field.value.trim());
    fill(field.value, field);
  });
}
