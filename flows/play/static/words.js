// What the page says in sentences.

import { bracketed, percent } from "./drawing.js";

/** Say what a map shows: one member or all, and after how many epochs. */
export function captionOfMap({ asked, run, maps, selected, waiting }) {
  const { epochs } = asked.question;
  const after = (epoch) => (epoch < epochs ? ` after ${epoch} of ${epochs} epochs` : "");
  if (selected !== null) {
    const epoch = maps.member?.epoch ?? epochs;
    return `Network ${selected}${after(epoch)}: ${percent(run?.test?.[selected])}. A second click, or Escape, shows all.`;
  }
  if (waiting || !maps.question) return "The points, and the circle that holds all of them.";
  if (allDiverged(run)) return run.n === 1 ? "It has diverged: it has no answers left." : "All have diverged: they have no answers left.";
  const { n, epoch } = maps.question;
  if (epoch === 0) return `${n === 1 ? "A network" : `Mean of ${n} networks`} before the first step.`;
  const mean = n === 1 ? "What one network answers" : `Mean of ${n} networks`;
  const where = n === 1 ? "it is unsure" : "they disagree";
  return `${mean}${after(epoch)}; the colour fades where ${where}. Dashed: the training region.`;
}

/** Say what the members have reached so far. */
export function summaryInWords({ asked, run, waiting }) {
  const n = asked.question.seeds;
  if (waiting) return "Make your bet, then train.";
  if (!run?.summary) return "";
  const { summary, seconds, complete, epoch } = run;
  const networks = `${summary.n < n ? `${summary.n} of ` : ""}${networksInWords(n)}`;
  const interval = summary.low === null ? "" : " with its 95 % interval";
  const after = complete ? "" : ` after ${epoch} of ${asked.question.epochs} epochs`;
  const mean = summary.mean === null || n === 1 ? "" : ` Mean ${percent(summary.mean)}.`;
  const never = complete ? `, never learned: ${summary.never_learned_words}` : "";
  const what = n === 1 ? "What one network gets right" : `Median of ${networks}${interval}`;
  return `${what}${after}.${mean} ${summary.diverged} diverged${never}. ${seconds.toFixed(1)} s.`;
}

/** Return whether a run has ended without a network that answers. */
export function allDiverged(run) {
  return Boolean(run?.complete) && run.summary.diverged === run.n;
}

/** Count networks: none, one or more. */
export function networksInWords(n) {
  return `${n} network${n === 1 ? "" : "s"}`;
}

/** Say how a bet on the median went; what has no interval decides nothing. */
export function betInWords(bet, { median, low, high }) {
  const result = `You bet ${bet} %. The median is ${percent(median)}`;
  if (low === null) return `${result}.`;
  const side = bet < 100 * low ? ", above your bet" : bet > 100 * high ? ", below your bet" : ": you were right";
  return `${result} ${bracketed(low, high)}${side}.`;
}

/** Say how large the layers are. */
export function sizesInWords(sizes) {
  if (sizes.length < 8) return sizes.join("-");
  return `${sizes[0]}-${sizes[1]} (${sizes.length - 2} times)-${sizes.at(-1)}`;
}

/** Say what theory expects of a question. */
export function theoryInWords({ theory, sizes }) {
  const gain = theory.critical_gain === null ? "" : ` The edge lies at a gain of ${theory.critical_gain.toFixed(2)}.`;
  const width = sizes[1] < 30 ? ` Theory is about wide networks; these have ${sizes[1]} unit${sizes[1] === 1 ? "" : "s"} a layer.` : "";
  return `${theory.sentence}${gain}${width}`;
}
