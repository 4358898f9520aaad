// The page: what is asked, what came back, and who draws it. The address holds the question: a link is an experiment.

import { bracketed, onScheme, percent } from "./drawing.js";
import { Form } from "./form.js";
import { drawDifference, drawDots, drawLosses } from "./numbers.js";
import { drawGauge, drawMap, drawNetwork } from "./picture.js";
import { allDiverged, betInWords, captionOfMap, networksInWords, sizesInWords, summaryInWords, theoryInWords } from "./words.js";

const PLACES = ["question", "pinned", "polynomial"];
const MEMBER = 3; // what else a binary message is of: a member's map, or losses, this number and that of the place
const LOSSES = 4;
const DEGREE = 50;
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const by = (id) => document.getElementById(id);

let form;
let socket;
let number = 0; // of the last question asked
let askTimer = 0;
let addressTimer = 0;
let asked = null; // what the server said of the question
let pinned = null; // its values
let polynomial = false;
let selected = null; // a member
let runs = {};
let maps = {};
let comparison = null;
let bet = null; // that was made on this question
let waiting = false;
let drawAt = 0;
let drawnFor = 0; // the last question whose map was drawn, for who measures it
let addressAt = -Infinity;

async function begin() {
  const schema = await (await fetch("form")).json();
  form = new Form(by("question"), schema, changed);
  readAddress();
  listen();
  connect();
}

// ---- the address

function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  const own = {};
  const others = {};
  for (const [name, value] of given) {
    if (name.startsWith("pin.")) others[name.slice(4)] = value;
    else if (name in form.defaults) own[name] = value;
  }
  form.fill(own);
  pinned = given.has("pinned") ? { ...form.defaults, ...others } : null;
  polynomial = given.has("polynomial");
  pairSeeds();
}

/** Give the pinned question the seeds of the other: members of equal seeds make the pairs, however many are asked for. */
function pairSeeds() {
  const { seeds, seed } = form.values();
  if (pinned) Object.assign(pinned, { seeds, seed });
}

/** Return the question as the address's fragment. */
function fragment() {
  const state = new URLSearchParams();
  const add = (values, prefix) => {
    for (const [name, value] of Object.entries(values)) {
      if (String(value) !== form.defaults[name]) state.set(prefix + name, value);
    }
  };
  add(form.values(), "");
  if (pinned) {
    state.set("pinned", "1");
    add(pinned, "pin.");
  }
  if (polynomial) state.set("polynomial", DEGREE);
  return `#${state}`;
}

function writeAddress() {
  const wait = performance.now() - addressAt < 300; // a browser bears some changes a second
  clearTimeout(addressTimer);
  if (wait) {
    addressTimer = setTimeout(writeAddress, 300);
    return;
  }
  addressAt = performance.now();
  history.replaceState(null, "", fragment());
}

// ---- asking

function connect() {
  socket = new WebSocket(`ws://${location.host}/live`);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    by("banner").hidden = true;
    ask();
  };
  socket.onmessage = ({ data }) => (typeof data === "string" ? hear(JSON.parse(data)) : hearNumbers(data));
  socket.onclose = ({ reason }) => {
    banner(reason || "The program is out of reach. Start deep-mlp play again: this page waits, and keeps your question.");
    setTimeout(connect, 1500);
  };
}

function banner(sentence) {
  by("banner").textContent = sentence;
  by("banner").hidden = false;
}

function changed() {
  form.settle();
  pairSeeds();
  waiting = by("bet-first").checked;
  writeAddress();
  clearTimeout(askTimer);
  askTimer = setTimeout(ask, 20);
}

function ask() {
  clearTimeout(askTimer); // what changed a moment ago is in this question: asked again, it would empty what it told
  if (socket.readyState !== WebSocket.OPEN) return;
  number += 1;
  performance.clearMarks();
  const question = { kind: "ask", id: number, question: form.values(), pinned, polynomial: polynomial ? DEGREE : 0, wait: waiting };
  socket.send(JSON.stringify(question));
}

// ---- hearing

function hear(message) {
  const of = message.kind === "progress" || message.kind === "compared" ? asked?.id : number;
  if ((message.id ?? of) !== of) return; // about a question that is no longer asked
  if (message.kind === "refused") refused(message);
  else if (message.kind === "asked") answered(message);
  else if (message.kind === "progress") progressed(message);
  else if (message.kind === "compared") comparison = message;
  else if (message.kind === "table") changed();
  else if (message.kind === "flow") flowed(message);
  draw();
}

function refused({ setting, sentence }) {
  if (!form.refuse(setting, sentence)) say(sentence);
}

function answered(message) {
  form.refuse(null);
  asked = message;
  drawSettings();
  selected = null;
  comparison = null;
  runs = {};
  bet = waiting ? null : bet;
  if (waiting) maps = {};
  else delete maps.member;
  if (!pinned) delete maps.pinned;
  if (!polynomial) delete maps.polynomial;
  by("command").textContent = message.command;
  by("bet-words").textContent = by("status").textContent = "";
}

function progressed(message) {
  Object.assign((runs[message.place] ??= {}), message);
  if (message.error) say(`The training has failed: ${message.error}`);
}

function hearNumbers(buffer) {
  const [id, what, n, side, epoch] = new Int32Array(buffer, 0, 5);
  if (id !== asked?.id) return;
  if (what >= LOSSES) {
    (runs[PLACES[what - LOSSES]] ??= {}).losses = { n, shown: side, values: new Float32Array(buffer, 16) };
    return; // the progress that follows has them drawn
  }
  const bytes = new Uint8Array(buffer, 20);
  const map = { id, n, side, epoch, classes: bytes.subarray(0, side * side), certainty: bytes.subarray(side * side) };
  if (what === MEMBER) {
    if (n !== selected) return;
    maps.member = map;
  } else {
    maps[PLACES[what]] = map;
  }
  draw();
}

function flowed({ sentence, url }) {
  const said = by("said");
  said.textContent = `${sentence} `;
  if (url && /^https?:\/\//.test(url)) {
    said.append(Object.assign(document.createElement("a"), { href: url, target: "_blank", rel: "noopener", textContent: "Open its run" }));
  }
}

function say(sentence) {
  by("said").textContent = sentence;
}

// ---- drawing, once a frame at most, and calmly where the system asks for it

function draw() {
  if (drawAt) return;
  const wait = calm.matches && runs.question && !runs.question.complete ? 1000 : 0;
  drawAt = wait ? setTimeout(paint, wait) : requestAnimationFrame(paint);
}

function paint() {
  drawAt = 0;
  drawButtons();
  if (!asked) return;
  const run = runs.question;
  drawMap(by("map"), (selected !== null && maps.member) || mapOf("question"), asked);
  if (maps.question && maps.question.id !== drawnFor) shown(`map-${(drawnFor = maps.question.id)}`);
  by("map-caption").textContent = captionOfMap({ asked, run, maps, selected, waiting });
  by("map").setAttribute("aria-label", `Decision map: ${by("map-caption").textContent}`);
  drawOthers();
  drawNumbers(run);
}

/** Draw what changes with the question alone. */
function drawSettings() {
  if (!asked) return;
  drawNetwork(form.network, asked.sizes);
  form.words.textContent = `${sizesInWords(asked.sizes)}, ${asked.parameters.toLocaleString("en")} parameters`;
  drawGauge(by("gauge"), asked.theory);
  by("theory-words").textContent = theoryInWords(asked);
}

/** Mark the end of this frame, for who measures it. */
function shown(name) {
  requestAnimationFrame(() => performance.mark(name));
}

function drawOthers() {
  for (const place of ["pinned", "polynomial"]) {
    const shown = place === "pinned" ? pinned !== null : polynomial;
    by(`${place}-figure`).hidden = !shown;
    if (!shown) continue;
    const run = runs[place];
    const what = place === "pinned" ? "Pinned" : `Polynomial of degree ${DEGREE}`;
    const reached = run?.complete ? percent(run.summary.median) : `training, ${Math.round(100 * (run?.share ?? 0))} %`;
    by(`${place}-caption`).textContent = `${what}: ${reached}`;
  }
  by("others").hidden = !pinned && !polynomial;
  if (pinned) drawMap(by("pinned-map"), mapOf("pinned"), asked, { points: false });
  if (polynomial) drawMap(by("polynomial-map"), mapOf("polynomial"), asked, { points: false });
}

/** Return the map of a place; none if all its networks have diverged: what was drawn before is not their answer. */
function mapOf(place) {
  return allDiverged(runs[place]) ? undefined : maps[place];
}

function drawNumbers(run) {
  const summary = run?.summary;
  by("share").value = run?.share ?? 0;
  by("median").textContent = percent(summary?.median);
  by("interval").textContent = summary ? bracketed(summary.low, summary.high) : "";
  by("summary").textContent = summaryInWords({ asked, run, waiting });
  if (run?.complete && !run.told) {
    run.told = true; // once: a screen reader reads it
    shown(`done-${asked.id}`);
    by("status").textContent = `${networksInWords(summary.n)} trained: median ${percent(summary.median)}`;
    if (bet !== null && summary.median !== null) by("bet-words").textContent = betInWords(bet, summary);
  }
  const rows = [{ test: run?.test ?? [], losses: run?.losses, summary, epochs: asked.question.epochs }];
  if (pinned && runs.pinned?.test) rows.push({ ...runs.pinned, epochs: Number(pinned.epochs), pinned: true });
  drawDots(by("dots"), rows, selected, 1 / asked.sizes.at(-1));
  drawLosses(by("losses"), rows, selected);
  by("comparison").hidden = !pinned || !comparison;
  if (comparison && pinned) {
    by("comparison-words").textContent = comparison.sentence;
    drawDifference(by("difference"), comparison.comparison);
  }
}

function drawButtons() {
  by("pin").setAttribute("aria-pressed", String(pinned !== null));
  by("pin").textContent = pinned ? "Unpin" : "Pin";
  by("polynomial").setAttribute("aria-pressed", String(polynomial));
  by("pin").disabled = !asked && !pinned;
  by("copy-command").disabled = by("flow").disabled = !asked;
}

// ---- what one can do

function listen() {
  addEventListener("hashchange", () => {
    readAddress();
    ask();
  });
  const again = () => {
    drawSettings();
    draw();
  };
  addEventListener("resize", again);
  onScheme(again);
  by("pin").onclick = () => {
    pinned = pinned ? null : Object.fromEntries(Object.entries(asked.question).map(([name, value]) => [name, String(value)]));
    if (!pinned) delete maps.pinned;
    changed();
  };
  by("polynomial").onclick = () => {
    polynomial = !polynomial;
    changed();
  };
  by("reset").onclick = () => {
    form.fill({});
    pinned = null;
    polynomial = false;
    changed();
  };
  by("copy-link").onclick = () => copy(new URL(fragment(), location.href).href, "The link is copied: whoever runs deep-mlp play can open it.");
  by("copy-command").onclick = () => copy(asked.command, "The command is copied.");
  by("flow").onclick = () => socket.send(JSON.stringify({ kind: "flow" }));
  by("bet-first").onchange = () => {
    by("bet-row").hidden = !by("bet-first").checked;
    bet = null;
    changed();
  };
  by("train").onclick = train;
  // As onkeydown it would return false for every other key, and none would be typed
  by("bet").addEventListener("keydown", ({ key }) => key === "Enter" && train());
  by("file").onchange = sendTable;
  by("dots").onclick = ({ target }) => choose(target.dataset.member === undefined ? null : Number(target.dataset.member));
  by("dots").onkeydown = step;
  document.addEventListener("keydown", ({ key }) => key === "Escape" && choose(null));
}

function train() {
  bet = by("bet").value === "" ? null : Number(by("bet").value);
  waiting = false;
  ask();
}

async function sendTable() {
  const [file] = by("file").files;
  if (!file) return;
  if (file.size > 1e6) {
    form.refuse("data", `data must be at most 1,000,000 bytes, got ${file.size} in ${file.name}; larger ones: deep-mlp depth-sweep --data FILE.`);
    return;
  }
  socket.send(JSON.stringify({ kind: "table", name: file.name, text: await file.text() }));
}

async function copy(text, sentence) {
  try {
    await navigator.clipboard.writeText(text);
    say(sentence);
  } catch {
    say(text);
  }
}

function choose(member) {
  if (member === selected) member = null;
  selected = member;
  delete maps.member;
  if (member === null) by("dots").removeAttribute("aria-activedescendant");
  else by("dots").setAttribute("aria-activedescendant", `member-${member}`);
  if (member !== null) socket.send(JSON.stringify({ kind: "member", member }));
  draw();
}

function step(event) {
  const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, Home: -Infinity, End: Infinity };
  if (!(event.key in steps)) return;
  event.preventDefault();
  const test = runs.question?.test ?? [];
  const order = test.map((_, member) => member).filter((member) => test[member] !== null);
  if (!order.length) return;
  order.sort((a, b) => test[a] - test[b]);
  const at = selected === null ? (steps[event.key] > 0 ? -1 : order.length) : order.indexOf(selected);
  const next = order[Math.min(order.length - 1, Math.max(0, at + steps[event.key]))];
  if (next !== selected) choose(next);
}

begin();
