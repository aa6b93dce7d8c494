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

for (const field of fields) {
  field.value = recall();
  field.addEventListener("input", () => {
    remember(field.value.trim());
    for (const other of fields) if (other !== field) other.value = field.value;
  });
}
