/**
 * What the tab says of each short: a part of the story, and as pure as that.
 *
 * @typedef {{taskId: string, mapIndex: number}} Place of a task instance in its run
 *
 * @typedef {object} Fate what a person has to decide about a paid request
 * @property {boolean} isChanged what is asked for has changed since it was paid; else nobody knows whether it was taken
 * @property {string} entry its name in the ledger
 * @property {string} sentAt ISO 8601
 * @property {string[]} jobs ids that may be what it has made
 * @property {number} price of sending it once more, in US dollars
 * @property {boolean} secondHand
 * @property {Place} place of the task that waits for the answer
 *
 * @typedef {object} Short
 * @property {string} id
 * @property {string} name
 * @property {number | null} score 0 to 100
 * @property {string | null} explanation
 * @property {boolean} isWhole a whole video, which has no score
 * @property {number} shape width by height
 * @property {number | null} seconds
 * @property {string | null} preview an http(s) address
 * @property {string | null} embed the same, to be put into the page
 * @property {boolean} exported an export that looks like this run's was paid for before a person was asked
 * @property {string | null} leftOut why it is not exported; null if it is
 * @property {string | null} state as Airflow calls it
 * @property {string} words the same for a reader
 * @property {string | null} error
 * @property {Fate | null} fate
 * @property {{places: Place[], isPaid: boolean} | null} retry what to clear to try it again, and whether that may cost
 * @property {Place | null} ordered the task that ordered its export
 * @property {string | null} video an http(s) address
 * @property {string | null} path
 * @property {string | null} mark the file of its watermark; null: it has none
 * @property {number | null} bytes
 * @property {Place | null} log
 */
import {
  ANSWER,
  CHOOSE,
  PUBLISH,
  STEPS,
  asking,
  find,
  httpAddress,
  isOfShort,
  isOver,
  list,
  number,
  place,
  text,
} from "./instances.js";
import { LEFT_OUT, fileOf, stepWords } from "./words.js";

const [EXPORT, EXPORTED] = STEPS;
const CHANGED = "KlapChangedError";
export const FAILED_AT_KLAP = "KlapJobFailedError";

/** The shorts of a run, best first: `xcom(instance, key)` is what a task has left, or null. */
export function tellShorts(instances, xcom) {
  const steps = instances.filter((each) => isOfShort(each) && each.state !== "removed");
  const choosers = instances.filter((each) => CHOOSE.includes(each.operator));
  const open = choosers.find((each) => !isOver(each));
  // Between a person's answer and what follows from it the task tells nothing new: what was asked about is still so.
  const inQuestion = open ? xcom(asking(open), "klap_shorts") : null;
  const settled = choosers.map((each) => xcom(each, "klap_shorts")).find(Array.isArray);
  const told = settled ?? inQuestion;
  const listed = told ? numbered(told) : unlisted(steps);
  const outcome = list(xcom(find(instances, PUBLISH), "klap_outcome"));
  const asked = open?.state === "awaiting_input";
  const isAnswered = !settled && inQuestion !== null;
  const answer = answerOf(instances, xcom);
  return listed.map(({ short, mapIndex }) => {
    const leftOut = short.reason ? (LEFT_OUT[short.reason] ?? short.reason) : null;
    const facts = {
      id: short.project_id,
      name: text(short.short_name) ?? short.project_id,
      score: number(short.virality_score),
      explanation: text(short.explanation),
      seconds: number(short.duration),
      preview: httpAddress(short.preview_url),
      embed: httpAddress(short.embed_url),
      exported: short.exported === true,
      leftOut,
    };
    if (isAnswered && answer === null)
      return { ...facts, ...NOTHING_YET, leftOut: null, state: open.state, words: "To be decided" };
    if (isAnswered && !answer.picked.includes(facts.id))
      return { ...facts, ...NOTHING_YET, leftOut: LEFT_OUT.not_picked };
    if (isAnswered) return { ...facts, ...NOTHING_YET, leftOut: null, state: open.state, words: "Picked" };
    if (leftOut !== null) return { ...facts, ...NOTHING_YET };
    // At -1 is a step that Airflow has not mapped over the shorts yet.
    const own = steps.filter((step) => [mapIndex, -1].includes(step.map_index));
    if (asked && own.every((step) => step.state === null))
      return { ...facts, ...NOTHING_YET, state: "awaiting_input", words: "To be decided" };
    const become = outcome.find((each) => each?.project_id === short.project_id);
    return { ...facts, ...tellExport(own, become, xcom) };
  });
}

/** What a person has answered while the task that asked has not gone on yet, in the form of `klap_review`, or null. */
export function answerOf(instances, xcom) {
  const open = instances.find((each) => CHOOSE.includes(each.operator) && !isOver(each));
  const said = open && xcom(open, ANSWER);
  const asked = open && list(xcom(asking(open), "klap_shorts"));
  if (!said?.response_received || asked.length === 0) return null;
  // The choices are in the order of the shorts, and behind them comes that of picking none.
  const chosen = list(said.chosen_options).map((option) => asked[list(said.options).indexOf(option)]?.project_id);
  const { name, id } = said.responded_by_user ?? {};
  return { picked: chosen.filter(Boolean), by: name ?? id, answered_at: said.responded_at, timed_out: false };
}

const NOTHING_YET = {
  state: null,
  words: "",
  error: null,
  fate: null,
  retry: null,
  ordered: null,
  mark: null,
  video: null,
  path: null,
  bytes: null,
  log: null,
};

/** The listed shorts, each with the map index of its steps, which are mapped over the selected ones. */
function numbered(shorts) {
  let index = 0;
  return shorts
    .filter((short) => text(short?.project_id))
    .map((short) => ({ short, mapIndex: short.reason ? null : index++ }));
}

/** Shorts that no list names, as where a DAG exports a project that it knows already: what their steps say. */
function unlisted(steps) {
  const exports = steps.filter((each) => each.operator === EXPORT && each.rendered_fields.project_id);
  return exports.map(({ map_index, rendered_fields: { project_id, short_name } }) => ({
    short: { project_id, short_name },
    mapIndex: map_index,
  }));
}

function tellExport(steps, outcome, xcom) {
  const inOrder = steps.toSorted((one, other) => STEPS.indexOf(one.operator) - STEPS.indexOf(other.operator));
  const failed = inOrder.find((step) => step.state === "failed");
  const step = failed ?? inOrder.find((each) => each.state !== "success") ?? inOrder.at(-1);
  const [exported, delivered] = STEPS.slice(1).map((operator) => xcom(find(inOrder, [operator]), "return_value"));
  const state = step ? step.state : outcome ? (outcome.error ? "failed" : "success") : null;
  const failure = xcom(failed, "klap_error");
  // Airflow clears what has failed: so its later steps, too, have to be marked as failed first.
  const isSettled = inOrder.every(isOver);
  return {
    state,
    words: step ? stepWords(step) : outcome ? (outcome.error ? "Failed" : "Delivered") : "Waiting for its turn",
    error: text(outcome?.error) ?? text(failure?.error),
    fate: isSettled ? tellFate(failed, failure) : null,
    retry: failed && isSettled ? tellRetry(inOrder, failed, failure) : null,
    ordered: place(find(inOrder, [EXPORT])) ?? null,
    mark: tellMark(find(inOrder, [EXPORT])),
    video: httpAddress(outcome?.src_url ?? delivered?.src_url ?? exported?.src_url),
    path: text(outcome?.path ?? delivered?.path),
    bytes: number(outcome?.size ?? delivered?.size),
    log: step?.state ? place(step) : null,
  };
}

function tellMark(ordered) {
  const address = text(ordered?.rendered_fields.watermark?.src_url);
  return address && (fileOf(address) || "a watermark");
}

/** What a person has to decide before a failed task can go on, or null: {@link Fate}. */
export function tellFate(failed, failure) {
  const fate = failure?.fate;
  if (!failed || !text(fate?.entry)) return null;
  return {
    isChanged: failure.type === CHANGED,
    entry: fate.entry,
    sentAt: fate.sent_at,
    jobs: list(fate.jobs),
    price: number(fate.price) ?? 0,
    secondHand: fate.second_hand !== false,
    place: place(failed),
  };
}

/**
 * What to clear so that a failed short is tried again. An export that failed at Klap is ordered, and paid for, anew by
 * the task that ordered it; one that could not be ordered is to be paid for yet; all else goes on with what there is.
 */
function tellRetry(steps, failed, failure) {
  const isAnew = failed.operator === EXPORTED && failure?.type === FAILED_AT_KLAP;
  const first = (isAnew && find(steps, [EXPORT])) || failed;
  return { places: steps.slice(steps.indexOf(first)).map(place), isPaid: isAnew || failed.operator === EXPORT };
}
