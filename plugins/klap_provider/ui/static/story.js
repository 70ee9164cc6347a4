/**
 * What the tab says about a run: a pure function of Airflow's answers and the time. No DOM, no fetch, no clock.
 *
 * Tasks are recognised by their operator, so that any DAG built of them has its tab. What the operators leave in XCom
 * is described in xcoms.py.
 *
 * @typedef {object} Instance a task instance, as Airflow's API gives it; of its fields these are read
 * @property {string} id new with each try
 * @property {string} task_id
 * @property {number} map_index
 * @property {string} operator
 * @property {string | null} state
 * @property {string | null} start_date
 * @property {Record<string, any>} rendered_fields
 *
 * @typedef {object} Answers
 * @property {{state: string, conf: Record<string, any> | null}} run
 * @property {Instance[]} instances those of {@link OPERATORS}
 * @property {Map<string, any>} xcoms by {@link xcomKey}; null where there is none
 * @property {boolean} forbidden the user may not read XComs
 *
 * @typedef {{taskId: string, mapIndex: number}} Place of a task instance in its run
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
 * @property {string | null} leftOut why it is not exported; null if it is
 * @property {string | null} state as Airflow calls it
 * @property {string} words the same for a reader
 * @property {string | null} error
 * @property {string | null} video an http(s) address
 * @property {string | null} path
 * @property {number | null} bytes
 * @property {Place | null} log
 *
 * @typedef {object} Story
 * @property {boolean} isWhole it is of one whole video, rather than of shorts
 * @property {boolean} ended whether the run has, so that nothing will change
 * @property {boolean} forbidden
 * @property {{text: string, href: string | null} | null} source
 * @property {{state: string | null, words: string, error: string | null, log: Place | null, question: Place | null}} stage
 * @property {number | null} percent null: nobody knows
 * @property {{label: string, value: string}[]} totals
 * @property {string | null} review
 * @property {Short[]} shorts best first
 */
import { DONE, FAILED, LEFT_OUT, SHORTS, VIDEO, count, fileSize, stepWords, waitWords } from "./words.js";

const STEPS = ["ExportShortOperator", "ExportStatusSensor", "DeliverShortOperator"];
const SUBMIT_WHOLE = "SubmitVideoOperator";
const SUBMIT = ["SubmitShortsOperator", SUBMIT_WHOLE];
const WAIT = ["TaskStatusSensor"];
const CHOOSE = ["ReviewShortsOperator", "ListShortsOperator"];
const PUBLISH = ["PublishShortsOperator"];

/** The operators whose task instances make up the story. */
export const OPERATORS = [...SUBMIT, ...WAIT, ...CHOOSE, ...STEPS, ...PUBLISH];

const OVER = ["success", "failed", "upstream_failed", "skipped"];

/** Whether a task instance is a step of one short, rather than of the run. */
export const isOfShort = (instance) => STEPS.includes(instance.operator);

/** Whether a person may have been asked. Where not, asking for the answer would put a 404 into the browser's console. */
const isReview = ({ operator, rendered_fields }) =>
  operator === "ReviewShortsOperator" && rendered_fields.review !== false;

/** Under which key an XCom is kept in {@link Answers}: it may change with the try and the state of its task. */
export const xcomKey = (instance, key) => `${instance.id} ${instance.state} ${key}`;

/**
 * Which XComs are there to be read, and not known yet.
 *
 * A run that has summed itself up costs two: the list of shorts and the outcome. Otherwise each task instance that
 * has ended is asked, once.
 *
 * @param {Instance[]} instances
 * @param {Map<string, any>} known as in {@link Answers}
 * @returns {{instance: Instance, key: string}[]}
 */
export function wantedXComs(instances, known) {
  const wanted = [];
  const want = (instance, key) => known.has(xcomKey(instance, key)) || wanted.push({ instance, key });
  const publish = find(instances, PUBLISH);
  const isSummedUp = isOver(publish) && known.get(xcomKey(publish, "klap_outcome")) !== null;

  for (const instance of instances) {
    const { operator, state } = instance;
    if (isOfShort(instance) && isSummedUp) continue;
    if (state === "failed") want(instance, "klap_error");
    if (state === "success" && STEPS.indexOf(operator) > 0) want(instance, "return_value");
    if (CHOOSE.includes(operator) && ["success", "awaiting_input"].includes(state)) want(instance, "klap_shorts");
    if (isReview(instance) && state === "success") want(instance, "klap_review");
    if (instance === publish && isOver(publish)) want(instance, "klap_outcome");
    if (SUBMIT.includes(operator) && state === "success" && !isOver(find(instances, WAIT)))
      want(instance, "return_value");
  }
  return wanted;
}

/**
 * Tell the story of a run.
 *
 * @param {Answers} answers
 * @param {Date} now
 * @returns {Story | null} null if the run has nothing to do with Klap
 */
export function tell(answers, now) {
  const { run, instances, forbidden } = answers;
  if (instances.length === 0) return null;
  const xcom = (instance, key) => (instance && answers.xcoms.get(xcomKey(instance, key))) ?? null;
  const submit = find(instances, SUBMIT);
  const isWhole = submit?.operator === SUBMIT_WHOLE;
  const look = { isWhole, shape: tellShape(submit?.rendered_fields) };
  const shorts = forbidden ? [] : tellShorts(instances, xcom).map((short) => ({ ...short, ...look }));
  const chosen = shorts.filter((short) => short.leftOut === null);
  return {
    isWhole,
    ended: ["success", "failed"].includes(run.state),
    forbidden,
    source: tellSource(run, submit),
    stage: tellStage(answers, xcom, chosen, shorts.length, isWhole, now),
    percent: tellPercent(run, instances, chosen.length),
    totals: tellTotals(shorts, chosen, instances, isWhole),
    review: tellReview(xcom(find(instances, CHOOSE), "klap_review"), shorts.length),
    shorts,
  };
}

/** An address that is safe to link to, or null. */
export function httpAddress(text) {
  const url = typeof text === "string" && URL.canParse(text) ? new URL(text) : null;
  return url !== null && ["http:", "https:"].includes(url.protocol) ? url.href : null;
}

const find = (instances, operators) =>
  operators.map((operator) => instances.find((each) => each.operator === operator)).find(Boolean);
const isOver = (instanceOrShort) => OVER.includes(instanceOrShort?.state);
const isDelivered = (short) => short.state === "success";
const isFailed = (short) => ["failed", "upstream_failed"].includes(short.state);
const place = (instance) => instance && { taskId: instance.task_id, mapIndex: instance.map_index };
const text = (value) => (typeof value === "string" && value !== "" ? value : null);
const list = (value) => (Array.isArray(value) ? value : []);
const number = (value) => (typeof value === "number" ? value : null);

function tellShorts(instances, xcom) {
  const steps = instances.filter((each) => isOfShort(each) && each.state !== "removed");
  const choosers = instances.filter((each) => CHOOSE.includes(each.operator));
  const told = choosers.map((each) => xcom(each, "klap_shorts")).find(Array.isArray);
  const listed = told ? numbered(told) : unlisted(steps);
  const outcome = list(xcom(find(instances, PUBLISH), "klap_outcome"));
  const asked = choosers.some((each) => each.state === "awaiting_input");
  return listed.map(({ short, mapIndex }) => {
    const leftOut = short.reason ? (LEFT_OUT[short.reason] ?? short.reason) : null;
    const facts = {
      id: short.project_id,
      name: text(short.short_name) ?? short.project_id,
      score: number(short.virality_score),
      explanation: text(short.explanation),
      seconds: number(short.duration),
      preview: httpAddress(short.preview_url),
      leftOut,
    };
    if (leftOut !== null) return { ...facts, ...NOTHING_YET };
    // At -1 is a step that Airflow has not mapped over the shorts yet.
    const own = steps.filter((step) => [mapIndex, -1].includes(step.map_index));
    if (asked && own.every((step) => step.state === null))
      return { ...facts, ...NOTHING_YET, state: "awaiting_input", words: "To be decided" };
    return {
      ...facts,
      ...tellExport(
        own,
        outcome.find((each) => each?.project_id === short.project_id),
        xcom,
      ),
    };
  });
}

const NOTHING_YET = { state: null, words: "", error: null, video: null, path: null, bytes: null, log: null };

/** The listed shorts, each with the map index of its steps, which are mapped over the selected ones. */
function numbered(shorts) {
  let index = 0;
  return shorts
    .filter((short) => text(short?.project_id))
    .map((short) => ({ short, mapIndex: short.reason ? null : index++ }));
}

/** Shorts that no list names, as where a DAG exports a project that it knows already: what their steps say. */
function unlisted(steps) {
  const exports = steps.filter((each) => each.operator === "ExportShortOperator" && each.rendered_fields.project_id);
  return exports.map(({ map_index, rendered_fields: { project_id, short_name } }) => ({
    short: { project_id, short_name },
    mapIndex: map_index,
  }));
}

function tellExport(steps, outcome, xcom) {
  const inOrder = steps.toSorted((one, other) => STEPS.indexOf(one.operator) - STEPS.indexOf(other.operator));
  const failed = inOrder.find((step) => step.state === "failed");
  const step = failed ?? inOrder.find((each) => each.state !== "success") ?? inOrder.at(-1);
  const [exported, delivered] = ["ExportStatusSensor", "DeliverShortOperator"].map((operator) =>
    xcom(find(inOrder, [operator]), "return_value"),
  );
  const state = step ? step.state : outcome ? (outcome.error ? "failed" : "success") : null;
  return {
    state,
    words: step ? stepWords(step) : outcome ? (outcome.error ? "Failed" : "Delivered") : "Waiting for its turn",
    error: text(outcome?.error) ?? text(xcom(failed, "klap_error")?.error),
    video: httpAddress(outcome?.src_url ?? delivered?.src_url ?? exported?.src_url),
    path: text(outcome?.path ?? delivered?.path),
    bytes: number(outcome?.size ?? delivered?.size),
    log: step?.state ? place(step) : null,
  };
}

function tellSource(run, submit) {
  const address = text(submit?.rendered_fields?.source_video_url) ?? text(run.conf?.source_video_url);
  return address && { text: address, href: httpAddress(address) };
}

/** Width by height, as it was asked for; Klap's own is 9:16. */
function tellShape({ aspect_ratio, dimensions } = {}) {
  const { width, height } = dimensions ?? {};
  const [wide, high] = width && height ? [width, height] : String(aspect_ratio).split(":");
  return Number(wide) / Number(high) || 9 / 16;
}

function tellStage(answers, xcom, chosen, generated, isWhole, now) {
  const { run, instances } = answers;
  const words = isWhole ? VIDEO : SHORTS;
  const [submit, wait, choose, publish] = [SUBMIT, WAIT, CHOOSE, PUBLISH].map((each) => find(instances, each));
  const stage = (instance, words, more = {}) => ({
    state: instance?.state ?? null,
    words,
    error: text(xcom(instance, "klap_error")?.error),
    log: instance?.state === "failed" ? place(instance) : null,
    question: null,
    ...more,
  });
  const failed = [submit, wait, choose].find((each) => each?.state === "failed");
  if (failed) return stage(failed, FAILED[failed.operator] ?? words.noChoice);
  if (["success", "failed"].includes(run.state)) {
    return stage(publish, endWords(answers, chosen, generated, words), { state: run.state });
  }
  if (choose?.state === "awaiting_input") {
    return stage(choose, "A person is asked which shorts to export", { question: place(choose) });
  }
  if (submit && !isOver(submit)) return stage(submit, "Submitting the video to Klap");
  if (wait && !isOver(wait))
    return stage(wait, waitWords(xcom(submit, "return_value")?.submitted_at ?? wait.start_date, now));
  if (choose && !isOver(choose)) return stage(choose, words.choosing);
  if (chosen.length > 0 && chosen.every(isOver)) return stage(publish, "Summing up");
  const exporting = isWhole ? chosen[0]?.words : chosen.length > 0 && `Exporting: ${tally(instances, chosen)}`;
  return stage(null, exporting || "Exporting", { state: run.state });
}

function endWords({ instances, forbidden }, chosen, generated, words) {
  if (forbidden) return "The run has ended";
  if (generated === 0) return words.none;
  if (chosen.length === 0) return "No short was selected";
  if (words === VIDEO) return chosen[0].words;
  return tally(instances, chosen);
}

function tally(instances, chosen) {
  const failed = chosen.filter(isFailed).length;
  const delivered = `${chosen.filter(isDelivered).length} of ${count(chosen.length)} ${lastStepDone(instances).toLowerCase()}`;
  return failed ? `${delivered}, ${failed} failed` : delivered;
}

const lastStepDone = (instances) =>
  DONE[STEPS.findLast((step) => instances.some((each) => each.operator === step))] ?? "Delivered";

function tellPercent(run, instances, chosen) {
  if (["success", "failed"].includes(run.state)) return 100;
  const steps = instances.filter(isOfShort);
  const all = chosen * new Set(steps.map((step) => step.task_id)).size;
  const hasBegun = steps.some((step) => step.state !== null);
  return hasBegun && all > 0 ? Math.min(100, Math.round((100 * steps.filter(isOver).length) / all)) : null;
}

function tellTotals(shorts, chosen, instances, isWhole) {
  const generated = { label: "Generated", value: String(shorts.length) };
  if (shorts.length === 0 || isWhole) return []; // of one video, its card says all
  if (chosen.some((short) => short.state === "awaiting_input")) return [generated];
  const bytes = chosen.reduce((sum, short) => sum + (short.bytes ?? 0), 0);
  return [
    generated,
    { label: "Selected", value: String(chosen.length) },
    { label: lastStepDone(instances), value: String(chosen.filter(isDelivered).length) },
    { label: "Failed", value: String(chosen.filter(isFailed).length) },
    ...(bytes > 0 ? [{ label: "Size", value: fileSize(bytes) }] : []),
  ];
}

function tellReview(review, generated) {
  if (!review) return null;
  if (review.timed_out) return "Nobody answered in time: the proposal was taken";
  return `${text(review.by) ?? "Somebody"} picked ${review.picked?.length ?? 0} of ${count(generated)}`;
}
