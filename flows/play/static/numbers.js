// Dots, intervals, differences and loss curves.

import { colour, context, jitter, percent, svg } from "./drawing.js";

const HEIGHT = 88;

/** Draw every member as a dot with median and interval: a row for the question, another for the pinned one. */
export function drawDots(target, rows, selected, chance) {
  const { width } = target.getBoundingClientRect();
  if (!width) return;
  const height = HEIGHT * rows.length + 18;
  target.setAttribute("viewBox", `0 0 ${width} ${height}`);
  target.setAttribute("height", height);
  const at = (share) => 10 + share * (width - 20);
  const drawn = [];
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    const anchor = share === 0 ? "start" : share === 1 ? "end" : "middle";
    const x = share === 0 ? 2 : share === 1 ? width - 2 : at(share);
    drawn.push(
      svg("line", { x1: at(share), x2: at(share), y1: 4, y2: height - 16, stroke: colour("line") }),
      svg("text", { x, y: height - 3, "text-anchor": anchor }, `${100 * share} %`),
    );
  }
  if (chance) {
    const line = { x1: at(chance), x2: at(chance), y1: 4, y2: height - 16, stroke: colour("soft"), "stroke-dasharray": "2 3" };
    drawn.push(svg("line", line), svg("text", { x: at(chance) + 4, y: 10 }, "chance"));
  }
  rows.forEach((row, number) => drawn.push(...drawRow(row, number * HEIGHT, at, number === 0 ? selected : null)));
  target.replaceChildren(...drawn);
}

function drawRow({ test, summary, pinned }, top, at, selected) {
  const fill = colour(pinned ? "pin" : "data");
  const drawn = [];
  for (const [index, accuracy] of test.entries()) {
    if (accuracy === null) continue;
    const chosen = index === selected;
    const circle = svg("circle", {
      cx: at(accuracy).toFixed(1),
      cy: (top + 37 + 42 * jitter(index)).toFixed(1), // below the word "chance"
      r: chosen ? 6.5 : 4,
      fill: chosen ? colour("mark") : fill,
      "fill-opacity": chosen ? 1 : 0.6,
      stroke: chosen ? colour("ink") : "none",
    });
    if (!pinned) {
      circle.id = `member-${index}`;
      circle.dataset.member = index;
      circle.setAttribute("role", "option");
      circle.setAttribute("aria-selected", String(chosen));
      circle.setAttribute("aria-label", `network ${index}: ${percent(accuracy)}`);
    }
    drawn.push(circle);
  }
  if (summary && summary.median !== null) {
    const y = top + 72;
    const line = { stroke: colour(pinned ? "pin" : "ink"), "stroke-width": 2.5, "stroke-linecap": "round" };
    if (summary.low !== null) {
      drawn.push(svg("line", { ...line, x1: at(summary.low), x2: at(summary.high), y1: y, y2: y }));
      for (const end of [summary.low, summary.high]) {
        drawn.push(svg("line", { ...line, x1: at(end), x2: at(end), y1: y - 4, y2: y + 4 }));
      }
    }
    drawn.push(svg("circle", { cx: at(summary.median), cy: y, r: 5, fill: colour(pinned ? "pin" : "ink") }));
    if (pinned) drawn.push(svg("text", { x: 2, y: top + 16 }, "pinned"));
  }
  return drawn;
}

/** Draw a difference in points with its interval around zero. */
export function drawDifference(target, comparison) {
  const { width } = target.getBoundingClientRect();
  target.replaceChildren();
  if (!width || !comparison || comparison.difference === null) return;
  const height = 44;
  target.setAttribute("viewBox", `0 0 ${width} ${height}`);
  target.setAttribute("height", height);
  const ends = [comparison.difference, comparison.low ?? 0, comparison.high ?? 0].map((end) => Math.abs(100 * end));
  const most = [2, 5, 10, 20, 50, 100].find((limit) => limit >= Math.max(...ends)) ?? 100;
  const at = (share) => width / 2 + ((100 * share) / most) * (width / 2 - 12);
  const ink = colour("ink");
  const drawn = [
    svg("line", { x1: 12, x2: width - 12, y1: 16, y2: 16, stroke: colour("line") }),
    svg("line", { x1: width / 2, x2: width / 2, y1: 4, y2: 28, stroke: colour("soft"), "stroke-dasharray": "2 3" }),
    svg("text", { x: 2, y: 41 }, `−${most} points`),
    svg("text", { x: width / 2, y: 41, "text-anchor": "middle" }, "no difference"),
    svg("text", { x: width - 2, y: 41, "text-anchor": "end" }, `+${most} points`),
  ];
  if (comparison.low !== null) {
    const line = { x1: at(comparison.low), x2: at(comparison.high), y1: 16, y2: 16 };
    drawn.push(svg("line", { ...line, stroke: ink, "stroke-width": 3, "stroke-linecap": "round" }));
  }
  drawn.push(svg("circle", { cx: at(comparison.difference), cy: 16, r: 6, fill: ink }));
  target.replaceChildren(...drawn);
}

/** Draw the loss curves of all members, as far as they are trained, on a logarithmic axis; the pinned ones behind. */
export function drawLosses(canvas, rows, selected) {
  const [drawn, width, height] = context(canvas);
  const most = Math.max(...rows.map(({ epochs }) => epochs));
  const curves = rows.flatMap(({ losses, pinned, epochs }) =>
    Array.from({ length: losses?.n ?? 0 }, (_, index) => {
      const values = losses.values.subarray(index * losses.shown, (index + 1) * losses.shown);
      const step = most > 1 && losses.shown > 1 ? (epochs - 1) / (most - 1) / (losses.shown - 1) : 0;
      return { index, values, pinned, step };
    }),
  );
  let [low, high] = [Infinity, 0];
  for (const { values } of curves) {
    for (const loss of values) {
      if (!(loss > 0 && loss < Infinity)) continue; // one that is not reached yet is no number
      low = Math.min(low, loss);
      high = Math.max(high, loss);
    }
  }
  if (high === 0) return;
  high = Math.min(high, 100 * Math.max(low, 0.02)); // one that explodes hides no other
  [low, high] = [Math.log(low * 0.9), Math.log(high * 1.1)];
  const { fontSize } = getComputedStyle(document.documentElement);
  drawn.font = `${0.72 * parseFloat(fontSize)}px system-ui, sans-serif`;
  const ticks = lossTicks(Math.exp(low), Math.exp(high));
  const left = Math.max(38, ...ticks.map((tick) => drawn.measureText(lossLabel(tick)).width + 8));
  const bottom = height - 20;
  const y = (loss) => 6 + (1 - (Math.log(loss) - low) / (high - low)) * (bottom - 10);
  drawAxes(drawn, { left, width, height, ticks, y, epochs: most });
  drawn.save();
  drawn.beginPath();
  drawn.rect(left, 0, width - left, bottom);
  drawn.clip();
  curves.sort((a, b) => (b.pinned ? 1 : 0) - (a.pinned ? 1 : 0) || (a.index === selected) - (b.index === selected));
  const inks = { mark: colour("mark"), pin: colour("pin"), data: colour("data") };
  for (const { index, values, pinned, step } of curves) {
    const chosen = !pinned && index === selected;
    drawn.strokeStyle = inks[chosen ? "mark" : pinned ? "pin" : "data"];
    drawn.globalAlpha = chosen ? 1 : Math.max(0.12, Math.min(0.7, 12 / curves.length));
    drawn.lineWidth = chosen ? 2.5 : 1.2;
    drawn.beginPath();
    for (const [place, loss] of values.entries()) {
      if (!Number.isFinite(loss)) continue;
      drawn.lineTo(left + place * step * (width - left - 4), y(loss));
      if (!step) drawn.lineTo(left + 6, y(loss)); // a single epoch
    }
    drawn.stroke();
  }
  drawn.restore();
}

/** Return two to six round numbers within a range above 0: steps of a logarithmic scale, or equal ones if it is narrow. */
export function lossTicks(low, high) {
  const inside = (ticks) => ticks.filter((tick) => tick > low && tick < high);
  const [lowest, highest] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
  const every = Math.ceil((highest - lowest) / 6);
  const exponents = Array.from({ length: highest - lowest + 1 }, (_, place) => lowest + place);
  const decades = exponents.filter((exponent) => exponent % every === 0).map((exponent) => Number(`1e${exponent}`));
  for (const digits of [[1], [1, 3], [1, 2, 5]]) {
    const ticks = inside(decades.flatMap((decade) => digits.map((digit) => Number((digit * decade).toPrecision(1)))));
    if (ticks.length >= 3 && ticks.length <= 6) return ticks;
  }
  const finest = (high - low) / 3;
  const decade = 10 ** Math.floor(Math.log10(finest));
  const step = decade * [5, 2, 1].find((digit) => digit * decade <= finest);
  const first = Math.ceil(low / step);
  return inside(Array.from({ length: 8 }, (_, place) => Number(((first + place) * step).toPrecision(6))));
}

/** Return a loss as it is written at the axis: a small one by its power of ten. */
function lossLabel(tick) {
  return tick < 1e-4 ? tick.toExponential() : String(tick);
}

function drawAxes(drawn, { left, width, height, ticks, y, epochs }) {
  drawn.fillStyle = colour("soft");
  drawn.strokeStyle = colour("line");
  drawn.lineWidth = 1;
  drawn.textAlign = "right";
  drawn.textBaseline = "middle";
  for (const tick of ticks.filter((tick) => y(tick) > 20)) { // below the unit
    drawn.beginPath();
    drawn.moveTo(left, y(tick));
    drawn.lineTo(width, y(tick));
    drawn.stroke();
    drawn.fillText(lossLabel(tick), left - 6, y(tick));
  }
  drawn.textBaseline = "alphabetic";
  drawn.textAlign = "left";
  if (epochs > 1) drawn.fillText("1", left, height - 4);
  drawn.textAlign = "center";
  drawn.fillText(epochs > 1 ? "epoch" : "one epoch", (left + width) / 2, height - 4);
  drawn.textAlign = "right";
  if (epochs > 1) drawn.fillText(String(epochs), width - 2, height - 4);
  drawn.textAlign = "left";
  drawn.textBaseline = "top";
  drawn.fillText("nats", 0, 0);
}
