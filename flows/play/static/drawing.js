// What all drawings share: colours, scales, canvases of the screen's own pixels, elements of SVG.

/** The figures' palette (mlp_core/report/drawing.py), Okabe and Ito's; a class is its place here. */
export const PALETTE = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442", "#000000"];

const dark = matchMedia("(prefers-color-scheme: dark)");

/** Call back whenever the system changes between dark and light. */
export function onScheme(callback) {
  dark.addEventListener("change", callback);
}

/** Return a custom property of the style sheet, such as "ink". */
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** Return the colour of a class; black is white on a dark page. */
export function classColour(label) {
  const found = PALETTE[label % PALETTE.length];
  return dark.matches && found === "#000000" ? "#FFFFFF" : found;
}

/** Return red, green and blue of a colour such as "#0072B2". */
export function parts(hex) {
  const digits = hex.length === 4 ? [...hex.slice(1)].map((digit) => digit + digit).join("") : hex.slice(1);
  return [0, 2, 4].map((at) => parseInt(digits.slice(at, at + 2), 16));
}

/** Fit a canvas to its box in the screen's own pixels and return its context, whose unit is a CSS pixel. */
export function context(canvas) {
  const { width, height } = canvas.getBoundingClientRect();
  const scale = window.devicePixelRatio || 1;
  const [w, h] = [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  const drawn = canvas.getContext("2d");
  drawn.setTransform(scale, 0, 0, scale, 0, 0);
  drawn.clearRect(0, 0, width, height);
  return [drawn, width, height];
}

/** Return a new element of SVG. */
export function svg(name, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

/** Return places in -0.5 .. 0.5, well spread for every number of them, by the golden ratio. */
export function jitter(index) {
  return ((index * (Math.sqrt(5) - 1)) / 2 + 0.5) % 1 - 0.5;
}

/** Return a share as percent with a decimal, or a dash. */
export function percent(share) {
  return share === null || share === undefined ? "–" : `${(100 * share).toFixed(1)} %`;
}

/** Return an interval in percent, in brackets; empty if there is none. */
export function bracketed(low, high) {
  return low === null || high === null ? "" : `[${(100 * low).toFixed(1)} to ${(100 * high).toFixed(1)}]`;
}
