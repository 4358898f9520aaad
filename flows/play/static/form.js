// The form of the question, built from the settings model's own schema: titles, sentences, limits, defaults.

const GROUPS = {
  Data: ["data", "arms", "points", "noise"],
  Network: ["layers", "width", "parameter_budget", "activation", "start", "gain"],
  Training: ["optimizer", "learning_rate", "batch_size", "epochs"],
  Seeds: ["seeds", "seed"],
};
const ACTIVATIONS = ["relu", "tanh", "sigmoid", "gelu", "erf", "selu", "leaky_relu(0.1)"];
/** What a slider goes through; a number field takes all that the model allows. */
const SLIDERS = {
  arms: range(2, 8),
  points: [50, 100, 200, 500, 1000, 2000, 5000],
  noise: range(0, 20).map((step) => step / 20),
  layers: [...range(1, 8), 10, 12, 16, 24, 32],
  width: [...range(1, 10), 12, 14, 16, 20, 24, 32, 48, 64],
  gain: range(1, 30).map((step) => step / 10),
  learning_rate: [1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1],
  epochs: [1, 2, 5, 10, 20, 50, 100, 200, 500],
  seeds: [1, 2, 4, 8, 16, 32, 64, 128, 256],
};

function range(first, last) {
  return Array.from({ length: last - first + 1 }, (_, step) => first + step);
}

const small = matchMedia("(max-width: 760px)");

export class Form {
  /** Build the form; `onChange` is called with nothing whenever a value changes. */
  constructor(root, schema, onChange) {
    this.fields = {};
    this.defaults = {};
    for (const [title, names] of Object.entries(GROUPS)) {
      const group = element("details", { open: !small.matches || title === "Network" });
      group.append(element("summary", {}, title));
      if (title === "Network") group.append(...this.sketch());
      for (const name of names) group.append(this.control(name, schema.properties[name], onChange));
      root.append(group);
    }
    this.file = this.fields.data.row.querySelector("input[type=file]");
    root.addEventListener("submit", (event) => event.preventDefault());
  }

  sketch() {
    this.network = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    this.network.id = "network";
    this.network.setAttribute("aria-hidden", "true");
    this.words = element("p", { id: "network-words" });
    return [this.network, this.words];
  }

  control(name, property, onChange) {
    const row = element("div", { className: "control" });
    const label = element("label", { htmlFor: name, title: property.description }, property.title);
    const field = property.enum || name === "activation" ? this.choice(name, property) : this.number(name, property);
    field.id = name;
    field.title = property.description;
    const refusal = element("div", { className: "refusal", id: `${name}-refusal`, hidden: true });
    refusal.setAttribute("role", "alert");
    const slider = SLIDERS[name] && this.slider(name, field, onChange);
    row.append(label);
    if (slider) row.append(slider);
    row.append(field);
    if (name === "data") row.append(this.fileChoice());
    row.append(refusal);
    row.classList.toggle("wide", !slider);
    field.addEventListener("input", () => {
      if (slider) slider.value = nearest(SLIDERS[name], Number(field.value));
      onChange();
    });
    this.fields[name] = { row, field, slider, refusal };
    this.defaults[name] = String(property.default);
    return row;
  }

  fileChoice() {
    const label = element("label", { className: "file", htmlFor: "file" }, "Two columns of numbers, the classes last: ");
    label.append(element("input", { type: "file", id: "file", accept: ".csv,.txt,.tsv,text/*" }));
    return label;
  }

  choice(name, property) {
    const field = element("select", {});
    for (const value of property.enum ?? ACTIVATIONS) field.append(element("option", { value }, value.replace("_", " ")));
    return field;
  }

  number(name, property) {
    const whole = property.type === "integer";
    const field = element("input", { type: "number", step: whole ? 1 : "any", inputMode: whole ? "numeric" : "decimal" });
    if (property.minimum !== undefined) field.min = property.minimum;
    if (property.maximum !== undefined) field.max = property.maximum;
    return field;
  }

  slider(name, field, onChange) {
    const slider = element("input", { type: "range", min: 0, max: SLIDERS[name].length - 1, step: 1, tabIndex: -1 });
    slider.setAttribute("aria-hidden", "true"); // the number field is the same for keyboard and screen reader
    slider.addEventListener("input", () => {
      field.value = SLIDERS[name][slider.value];
      onChange();
    });
    return slider;
  }

  /** Return all values as they stand, as text. */
  values() {
    return Object.fromEntries(Object.entries(this.fields).map(([name, { field }]) => [name, field.value]));
  }

  /** Show values; those that are left out have their defaults. */
  fill(values) {
    for (const [name, { field, slider }] of Object.entries(this.fields)) {
      const value = String(values[name] ?? this.defaults[name]);
      if (field.tagName === "SELECT" && ![...field.options].some((option) => option.value === value)) {
        field.append(element("option", { value }, value));
      }
      field.value = value;
      if (slider) slider.value = nearest(SLIDERS[name], Number(value));
    }
    this.settle();
  }

  /** Let fields that have no meaning now stand back: a gain of PyTorch's start, a width that follows from a budget. */
  settle() {
    const data = this.fields.data.field.value;
    const table = data === "table";
    this.file.parentElement.hidden = !table;
    for (const name of table ? ["arms", "points", "noise"] : []) this.fields[name].field.value = this.defaults[name];
    if (data !== "spirals" && data !== "gauss") this.fields.arms.field.value = this.defaults.arms;
    this.enable("arms", data === "spirals" || data === "gauss");
    this.enable("points", !table);
    this.enable("noise", !table);
    const pytorch = this.fields.start.field.value === "pytorch";
    if (pytorch) this.fields.gain.field.value = "1";
    this.enable("gain", !pytorch);
    this.enable("width", !(Number(this.fields.parameter_budget.field.value) > 0));
  }

  enable(name, is) {
    const { row, field, slider } = this.fields[name];
    row.classList.toggle("off", !is);
    field.disabled = !is;
    if (slider) slider.disabled = !is;
  }

  /** Show why the question was refused, next to the setting if it is about one; nothing to clear it. */
  refuse(setting, sentence) {
    for (const { field, refusal } of Object.values(this.fields)) {
      field.removeAttribute("aria-invalid");
      field.removeAttribute("aria-describedby");
      refusal.hidden = true;
    }
    const place = this.fields[setting];
    if (!place) return false;
    place.field.setAttribute("aria-invalid", "true");
    place.field.setAttribute("aria-describedby", `${setting}-refusal`);
    place.refusal.textContent = sentence;
    place.refusal.hidden = false;
    place.row.parentElement.open = true;
    return true;
  }
}

function nearest(values, wanted) {
  let best = 0;
  values.forEach((value, place) => {
    if (Math.abs(value - wanted) < Math.abs(values[best] - wanted)) best = place;
  });
  return best;
}

function element(name, properties, text) {
  const made = Object.assign(document.createElement(name), properties);
  if (text !== undefined) made.textContent = text;
  return made;
}
