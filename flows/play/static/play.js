// The page: what is asked, what came back, and who draws it. The address holds the question: a link is an experiment.

import { bracketed, onScheme, percent } from "./drawing.js";
import { Form } from "./form.js";
import { drawDifference, drawDots, drawLosses } from "./numbers.js";
import { drawGauge, drawMap, drawNetwork } from "./picture.js";

const PLACES = ["question", "pinned", "polynomial"];
const DEGREE = 50;
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const by = (id) => document.getElementById(id);

let form;
let socket;
let number = 0; // of the last question asked
let askTimer = 0;
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
let drawnFor = 0; // the last question that was drawn, for who measures it

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
}

function writeAddress() {
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
  history.replaceState(null, "", `#${state}`);
}

// ---- asking

function connect() {
  socket = new WebSocket(`ws://${location.host}/live`);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    by("banner").hidden = true;
    ask();
  };
  socket.onmessage = ({ data }) => (typeof data === "string" ? hear(JSON.parse(data)) : hearMap(data));
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
  waiting = by("bet-first").checked;
  writeAddress();
  clearTimeout(askTimer);
  askTimer = setTimeout(ask, 30);
}

function ask() {
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
  const run = (runs[message.place] ??= { members: new Map() });
  Object.assign(run, message, { members: run.members });
  for (const [index, test, train, losses] of message.new) run.members.set(index, { test, train, losses });
  if (message.error) say(`The training has failed: ${message.error}`);
}

function hearMap(buffer) {
  const [id, place, n, side] = new Int32Array(buffer, 0, 4);
  if (id !== asked?.id) return;
  const bytes = new Uint8Array(buffer, 16);
  const map = { id, n, side, classes: bytes.subarray(0, side * side), certainty: bytes.subarray(side * side) };
  if (place === 3) {
    if (n !== selected) return;
    maps.member = map;
  } else {
    maps[PLACES[place]] = map;
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
  if (!asked) return;
  const run = runs.question;
  drawNetwork(form.network, asked.sizes);
  form.words.textContent = `${sizesInWords(asked.sizes)}, ${asked.parameters.toLocaleString("en")} parameters`;
  drawGauge(by("gauge"), asked.theory);
  by("theory-words").textContent = theoryInWords(asked);
  drawMap(by("map"), (selected !== null && maps.member) || maps.question, asked);
  if (maps.question && maps.question.id !== drawnFor) performance.mark(`picture-${(drawnFor = maps.question.id)}`);
  by("map-caption").textContent = captionOfMap(run);
  by("map").setAttribute("aria-label", `Decision map: ${by("map-caption").textContent}`);
  drawOthers();
  drawNumbers(run);
}

function drawOthers() {
  for (const place of ["pinned", "polynomial"]) {
    const shown = place === "pinned" ? pinned !== null : polynomial;
    by(`${place}-figure`).hidden = !shown;
    if (!shown) continue;
    const { summary } = runs[place] ?? {};
    const what = place === "pinned" ? "Pinned" : `Polynomial of degree ${DEGREE}`;
    by(`${place}-caption`).textContent = summary ? `${what}: ${percent(summary.median)}` : `${what}: training`;
  }
  by("others").hidden = !pinned && !polynomial;
  if (pinned) drawMap(by("pinned-map"), maps.pinned, asked, { points: false });
  if (polynomial) drawMap(by("polynomial-map"), maps.polynomial, asked, { points: false });
}

function drawNumbers(run) {
  const summary = run?.summary;
  by("share").value = run?.share ?? 0;
  by("median").textContent = percent(summary?.median);
  by("interval").textContent = summary ? bracketed(summary.low, summary.high) : "";
  by("summary").textContent = summaryInWords(run);
  if (run?.complete && !run.told) {
    run.told = true; // once: a screen reader reads it
    performance.mark(`done-${asked.id}`);
    by("status").textContent = `${summary.n} networks trained: median ${percent(summary.median)}`;
    judgeBet(summary);
  }
  const rows = [{ members: run?.members ?? new Map(), summary }];
  if (pinned && runs.pinned) rows.push({ members: runs.pinned.members, summary: runs.pinned.summary, pinned: true });
  drawDots(by("dots"), rows, selected, 1 / asked.sizes.at(-1));
  const groups = rows.map(({ members, pinned: is }) => ({ members, pinned: is }));
  drawLosses(by("losses"), groups, selected, asked.question.epochs);
  by("comparison").hidden = !pinned || !comparison;
  if (comparison && pinned) {
    by("comparison-words").textContent = comparison.sentence;
    drawDifference(by("difference"), comparison.comparison);
  }
  by("pin").setAttribute("aria-pressed", String(pinned !== null));
  by("pin").textContent = pinned ? "Unpin" : "Pin";
  by("polynomial").setAttribute("aria-pressed", String(polynomial));
}

function captionOfMap(run) {
  if (selected !== null) return `Network ${selected}: ${percent(run?.members.get(selected)?.test)}. Escape shows all.`;
  const n = maps.question?.n;
  if (waiting || n === undefined) return "The points, and the circle that holds all of them.";
  if (n === 0) return "The networks before their first step.";
  const mean = n === 1 ? "What 1 network answers" : `Mean of ${n} networks`;
  return `${mean}; it fades where they disagree. Dashed: the training region.`;
}

function summaryInWords(run) {
  const n = asked.question.seeds;
  if (waiting) return "Make your bet, then train.";
  if (!run) return "";
  const { summary, seconds, complete } = run;
  const of = complete ? `Median of ${n} network${n > 1 ? "s" : ""}` : `Median of ${summary.n} so far, of ${n} networks`;
  const interval = summary.low === null ? "" : " with its 95 % interval";
  const mean = summary.mean === null ? "" : ` Mean ${percent(summary.mean)}.`;
  const never = `${summary.diverged} diverged, never learned: ${summary.never_learned_words}.`;
  return `${of}${interval}.${mean} ${never} ${seconds.toFixed(1)} s.`;
}

function sizesInWords(sizes) {
  if (sizes.length < 8) return sizes.join("-");
  return `${sizes[0]}-${sizes[1]} (${sizes.length - 2} times)-${sizes.at(-1)}`;
}

function theoryInWords({ theory, sizes }) {
  const gain = theory.critical_gain === null ? "" : ` The edge lies at a gain of ${theory.critical_gain.toFixed(2)}.`;
  const width = sizes[1] < 30 ? ` Theory is about wide networks; these have ${sizes[1]} units a layer.` : "";
  return `${theory.sentence}${gain}${width}`;
}

function judgeBet({ median, low, high }) {
  if (bet === null || median === null) return;
  const result = `The median is ${percent(median)} ${bracketed(low, high)}`;
  const is = low === null ? "" : bet < 100 * low ? ", above your bet" : bet > 100 * high ? ", below your bet" : ": you were right";
  by("bet-words").textContent = `You bet ${bet} %. ${result}${is}.`;
}

// ---- what one can do

function listen() {
  addEventListener("hashchange", () => {
    readAddress();
    ask();
  });
  addEventListener("resize", draw);
  onScheme(draw);
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
  by("copy-link").onclick = () => copy(location.href, "The link is copied: whoever runs deep-mlp play can open it.");
  by("copy-command").onclick = () => copy(asked.command, "The command is copied.");
  by("flow").onclick = () => socket.send(JSON.stringify({ kind: "flow" }));
  by("bet-first").onchange = () => {
    by("bet-row").hidden = !by("bet-first").checked;
    bet = null;
    changed();
  };
  by("train").onclick = train;
  by("bet").onkeydown = ({ key }) => key === "Enter" && train();
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
  const members = [...(runs.question?.members ?? [])].filter(([, { test }]) => test !== null);
  if (!members.length) return;
  members.sort(([, a], [, b]) => a.test - b.test);
  const order = members.map(([index]) => index);
  const at = selected === null ? (steps[event.key] > 0 ? -1 : order.length) : order.indexOf(selected);
  const next = order[Math.min(order.length - 1, Math.max(0, at + steps[event.key]))];
  if (next !== selected) choose(next);
}

begin();
