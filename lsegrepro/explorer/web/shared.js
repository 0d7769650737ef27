// Shared by all interactive figures.

const SVG = "http://www.w3.org/2000/svg";

// Give an element attributes and children; text stays text.
function fill(element, attributes, children) {
  for (const key in attributes) element.setAttribute(key, attributes[key]);
  element.append(...children);
  return element;
}
// JupyterLab would take the arrow keys of a slider for itself, were it not told to leave them alone.
const OURS = {"data-lm-suppress-shortcuts": "true"},
  CONTROLS = ["input", "select", "button"];
const make = (name, attributes = {}, ...children) =>
  fill(document.createElement(name), CONTROLS.includes(name) ? {...OURS, ...attributes} : attributes, children);
const draw = (name, attributes = {}, ...children) => fill(document.createElementNS(SVG, name), attributes, children);

const percent = part => (part === null || part === undefined ? "\u2013" : (100 * part).toFixed(1) + "\u00a0%");

// Announces to a screen reader once the input rests, and not while it changes.
function announcer(root, wait = 900) {
  const region = make("p", {class: "lse-unseen", role: "status"});
  root.append(region);
  let timer = 0;
  return text => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      region.textContent = text;
    }, wait);
  };
}

// Draw now, and again when the page changes its width, so that text keeps its size.
function drawn(svg, draw) {
  let width = -1;
  const now = () => {
    const wide = svg.clientWidth;
    if (wide && Math.abs(wide - width) > 1) draw((width = wide));
  };
  now();
  new ResizeObserver(now).observe(svg);
}

// Start each figure of a kind that has not been started yet.
function begin(kind, start) {
  for (const root of document.querySelectorAll(".lse-" + kind + ":not([data-state])")) {
    root.dataset.state = "starting";
    const data = JSON.parse(root.querySelector("script[type='application/json']").textContent);
    Promise.resolve(start(root, data)).then(
      () => {
        root.dataset.state = "ready";
      },
      error => trouble(root, error),
    );
  }
}

function trouble(root, error) {
  root.dataset.state = "failed";
  root.append(make("p", {class: "lse-trouble"}, "This could not start: " + error.message));
}
