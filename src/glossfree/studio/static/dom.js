// Elements without a framework. Text becomes text nodes, never HTML: names and sentences need no escaping.

function build(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && (typeof value === "boolean" || name === "value")) element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** h("button", {class: "primary", onclick: f}, "Save") -> an element */
export const h = (tag, props, ...children) => build(document.createElement(tag), props, children);

/** The same in SVG's namespace. */
export const svg = (tag, props, ...children) =>
  build(document.createElementNS("http://www.w3.org/2000/svg", tag), props, children);

/** Position by script: the content security policy forbids style attributes, not styles set through the DOM. */
export function place(element, left, right) {
  element.style.left = `${100 * left}%`;
  if (right !== undefined) element.style.width = `${100 * (right - left)}%`;
  return element;
}

export function select(label, options, value, onchange) {
  const control = h("select", { onchange: () => onchange(control.value) },
    options.map(([key, text]) => h("option", { value: key, selected: String(key) === String(value) }, text)));
  return h("label", { class: "field" }, h("span", {}, label), control);
}

/** A search field that reports when typing pauses. */
export function searchField(label, onsearch) {
  let timer;
  const control = h("input", {
    type: "search",
    oninput: () => { clearTimeout(timer); timer = setTimeout(() => onsearch(control.value), 250); },
  });
  return h("label", { class: "field grow" }, h("span", {}, label), control);
}

export const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
