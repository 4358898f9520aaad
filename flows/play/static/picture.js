// The decision map, the points it was trained on, the network's sketch, and the gauge of order and chaos.

import { classColour, colour, context, parts, svg } from "./drawing.js";

const small = document.createElement("canvas");
const dots = document.createElement("canvas"); // the points as they were drawn last: they change with the question alone
let dotsAre = "";

/** Draw a map: strong where the networks agree, fading where they do not. */
export function drawMap(canvas, map, data, { points = true } = {}) {
  const [drawn, width] = context(canvas);
  if (map) {
    paint(map);
    drawn.imageSmoothingEnabled = true;
    drawn.imageSmoothingQuality = "high";
    drawn.drawImage(small, 0, 0, width, width);
  }
  if (!data) return;
  const at = (value) => ((value / data.extent + 1) / 2) * width;
  if (points) drawPoints(drawn, data, at, width);
  drawn.strokeStyle = colour("ink");
  drawn.globalAlpha = 0.65;
  drawn.lineWidth = 1.2;
  drawn.setLineDash([5, 4]);
  drawn.beginPath();
  drawn.arc(width / 2, width / 2, (data.radius / data.extent / 2) * width, 0, 2 * Math.PI);
  drawn.stroke();
  drawn.setLineDash([]);
  drawn.globalAlpha = 1;
}

function paint({ side, classes, certainty }) {
  small.width = small.height = side;
  const target = small.getContext("2d");
  const image = target.createImageData(side, side);
  const paper = parts(colour("map"));
  const inks = Array.from({ length: 8 }, (_, label) => parts(classColour(label)));
  for (let row = 0; row < side; row++) {
    for (let column = 0; column < side; column++) {
      const from = (side - 1 - row) * side + column; // rows of a map begin at the bottom
      const strength = 0.06 + 0.54 * (certainty[from] / 255);
      const ink = inks[classes[from] % 8];
      const to = 4 * (row * side + column);
      for (let part = 0; part < 3; part++) {
        image.data[to + part] = paper[part] + strength * (ink[part] - paper[part]);
      }
      image.data[to + 3] = 255;
    }
  }
  target.putImageData(image, 0, 0);
}

function drawPoints(drawn, data, at, width) {
  const { canvas } = drawn;
  const are = `${data.id} ${canvas.width} ${canvas.height} ${colour("map")}`;
  if (are !== dotsAre) {
    dotsAre = are;
    [dots.width, dots.height] = [canvas.width, canvas.height];
    const own = dots.getContext("2d");
    own.setTransform(drawn.getTransform());
    own.lineWidth = 0.7;
    own.strokeStyle = colour("map");
    const radius = Math.max(1.6, width / 260);
    data.points.forEach(([x, y], index) => {
      own.fillStyle = classColour(data.labels[index]);
      own.beginPath();
      own.arc(at(x), width - at(y), radius, 0, 2 * Math.PI);
      own.fill();
      own.stroke();
    });
  }
  drawn.drawImage(dots, 0, 0, width, width);
}

/** Draw the layers as columns of units; more than eight are eight and a number. */
export function drawNetwork(target, sizes) {
  const [width, height] = [240, 68];
  target.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const most = 8;
  const layers = sizes.length > 14 ? [...sizes.slice(0, 7), ...sizes.slice(-7)] : sizes;
  const units = layers.map((size, layer) => {
    const n = Math.min(size, most);
    const x = 8 + (layer * (width - 16)) / (layers.length - 1);
    return Array.from({ length: n }, (_, unit) => [x, height / 2 + (unit - (n - 1) / 2) * 8]);
  });
  const lines = [];
  for (let layer = 1; layer < units.length; layer++) {
    for (const [x1, y1] of units[layer - 1]) {
      for (const [x2, y2] of units[layer]) lines.push(`M${x1.toFixed(1)} ${y1}L${x2.toFixed(1)} ${y2}`);
    }
  }
  target.replaceChildren(
    svg("path", { d: lines.join(""), stroke: colour("line"), "stroke-width": 0.6, fill: "none" }),
    ...units.flatMap((layer, number) =>
      layer.map(([cx, cy], unit) => {
        const fill = number === units.length - 1 ? classColour(unit) : number ? colour("data") : colour("soft");
        return svg("circle", { cx, cy, r: 2.7, fill });
      }),
    ),
  );
}

/** Draw where the settings stand between order and chaos, on a logarithmic axis of chi_1. */
export function drawGauge(target, theory) {
  const { width } = target.getBoundingClientRect();
  if (!width) return;
  const height = 60;
  target.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const [low, high] = [0.1, 10];
  const at = (chi) => {
    const share = (Math.log(chi) - Math.log(low)) / (Math.log(high) - Math.log(low));
    return 4 + Math.min(1, Math.max(0, share)) * (width - 8);
  };
  const chi = theory.chi_1;
  const x = at(chi ?? high);
  const words = chi === null ? "χ₁ grows without bound" : `χ₁ = ${chi >= 100 ? chi.toExponential(1) : chi.toPrecision(3)}`;
  const anchor = x < 60 ? "start" : x > width - 60 ? "end" : "middle";
  target.replaceChildren(
    svg("rect", { x: 4, y: 26, width: at(1) - 4, height: 8, fill: "#0072B2", opacity: 0.75, rx: 4 }),
    svg("rect", { x: at(1), y: 26, width: width - 4 - at(1), height: 8, fill: "#E69F00", opacity: 0.85, rx: 4 }),
    svg("line", { x1: at(1), x2: at(1), y1: 22, y2: 38, stroke: colour("ink"), "stroke-width": 1.5 }),
    svg("text", { x: 4, y: 54 }, "order"),
    svg("text", { x: at(1), y: 54, "text-anchor": "middle" }, "edge, χ₁ = 1"),
    svg("text", { x: width - 4, y: 54, "text-anchor": "end" }, "chaos"),
    svg("path", { d: `M${x} 25l-6 -8h12z`, fill: colour("mark") }),
    svg("text", { x, y: 11, "text-anchor": anchor, class: "strong" }, words),
  );
  target.setAttribute("aria-label", `${words}: ${theory.phase}`);
}
