/**
 * What the tab says about a run: a pure function of Airflow's answers and the time. No DOM, no fetch, no clock.
 *
 * What the operators leave in XCom is described in xcoms.py.
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
 * @property {Instance[]} instances those of the operators in instances.js
 * @property {Map<string, any>} xcoms by {@link xcomKey}; null where there is none
 * @property {boolean} forbidden the user may not read XComs
 *
 * @typedef {import("./shorts.js").Place} Place
 * @typedef {import("./shorts.js").Short} Short
 * @typedef {import("./shorts.js").Fate} Fate
 *
 * @typedef {object} Offer what exports cost
 * @property {number} price of one, in US dollars
 * @property {boolean} secondHand
 * @property {number | null} room for how many exports the budget does; null: for any number
 * @property {string | null} deadline ISO 8601, until when a person may pick
 *
 * @typedef {object} Cost
 * @property {number} total in US dollars
 * @property {boolean} secondHand
 * @property {boolean} isSum whether it is all that the run has paid, rather than what was paid before exports
 *
 * @typedef {object} Story
 * @property {boolean} isWhole it is of one whole video, rather than of shorts
 * @property {boolean} ended whether the run has, so that nothing will change
 * @property {boolean} forbidden
 * @property {string | null} name what people call the video
 * @property {{text: string, href: string | null} | null} source
 * @property {string | null} klapTaskId
 * @property {Offer | null} offer
 * @property {{state: string | null, words: string, error: string | null, fate: Fate | null, log: Place | null,
 *   question: Place | null}} stage
 * @property {number | null} percent null: nobody knows
 * @property {{label: string, value: string}[]} totals
 * @property {Cost | null} cost
 * @property {number} delivered shorts
 * @property {{by: string, words: string} | null} review who has picked, and what
 * @property {{place: Place, price: number | null, secondHand: boolean} | null} again what to clear so that a video that
 *   Klap could not finish is sent once more
 * @property {Short[]} shorts best first
 */
import {
  ANSWER,
  CHOOSE,
  PUBLISH,
  STEPS,
  SUBMIT,
  SUBMIT_WHOLE,
  WAIT,
  asking,
  find,
  hasEnded,
  httpAddress,
  isOfShort,
  isOver,
  list,
  number,
  place,
  text,
  xcomKey,
} from "./instances.js";
import { FAILED_AT_KLAP, answerOf, tellFate, tellShorts } from "./shorts.js";
import { DONE, FAILED, LEFT_OUT, SHORTS, VIDEO, addressName, count, fileSize, momentWords, waitWords } from "./words.js";

// What is not there is not asked for: a 404 would show in the browser's console.

/** Whether a person may have been asked. */
const isReview = ({ operator, rendered_fields }) =>
  operator === "ReviewShortsOperator" && rendered_fields.review !== false;

/** States between a person's answer and what follows from it. */
const AFTER_ANSWER = ["scheduled", "queued", "running"];

/** Whether the cost of the run was reckoned. */
const isReckoned = ({ rendered_fields: { submissions } }) => submissions !== null && submissions !== undefined;

/**
 * Which XComs are there to be read, and not known yet.
 *
 * A run that has summed itself up costs five, and one for each task that failed. Otherwise each task instance that has
 * ended is asked, once.
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
    if (state === "failed") want(instance, "klap_error");
    if (isOfShort(instance) && isSummedUp) continue;
    if (state === "success" && STEPS.indexOf(operator) > 0) want(instance, "return_value");
    if (CHOOSE.includes(operator) && ["success", "awaiting_input"].includes(state)) {
      want(instance, "klap_shorts");
      want(instance, "klap_offer");
    }
    if (isReview(instance) && known.has(xcomKey(asking(instance), "klap_shorts")) && AFTER_ANSWER.includes(state))
      want(instance, ANSWER);
    if (isReview(instance) && state === "success") want(instance, "klap_review");
    if (instance === publish && isOver(publish)) {
      want(instance, "klap_outcome");
      if (isReckoned(instance)) want(instance, "klap_cost");
    }
    if (SUBMIT.includes(operator) && state === "success") want(instance, "return_value");
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
  const choose = find(instances, CHOOSE);
  const offer = choose && (xcom(choose, "klap_offer") ?? xcom(asking(choose), "klap_offer"));
  const spent = xcom(find(instances, PUBLISH), "klap_cost");
  const cost = tellCost(spent, offer);
  return {
    isWhole,
    ended: hasEnded(run),
    forbidden,
    name: tellName(run, submit),
    source: tellSource(run, submit),
    klapTaskId: text(xcom(submit, "return_value")?.klap_task_id),
    offer: tellOffer(offer),
    stage: tellStage(answers, xcom, chosen, shorts, isWhole, now),
    percent: tellPercent(run, instances, chosen.length),
    totals: tellTotals(shorts, chosen, instances, isWhole),
    cost,
    delivered: chosen.filter(isDelivered).length,
    review: tellReview(xcom(choose, "klap_review") ?? answerOf(instances, xcom), shorts.length),
    again: tellAgain(run, instances, xcom, spent),
    shorts,
  };
}

const isDelivered = (short) => short.state === "success";
const isFailed = (short) => ["failed", "upstream_failed"].includes(short.state);

function tellSource(run, submit) {
  const address = text(submit?.rendered_fields?.source_video_url) ?? text(run.conf?.source_video_url);
  return address && { text: address, href: httpAddress(address) };
}

function tellName(run, submit) {
  const fields = submit?.rendered_fields ?? {};
  return text(fields.name) ?? text(run.conf?.name) ?? addressName(tellSource(run, submit)?.text);
}

function tellOffer(offer) {
  if (number(offer?.price) === null) return null;
  const { price, second_hand, room, deadline } = offer;
  return { price, secondHand: second_hand !== false, room: number(room), deadline: text(deadline) };
}

function tellCost(cost, offer) {
  const isSum = number(cost?.total) !== null;
  const total = isSum ? cost.total : number(offer?.spent);
  return total === null ? null : { total, secondHand: Boolean((isSum ? cost : offer).second_hand), isSum };
}

/** A video that Klap could not finish is sent, and paid for, anew by the task that has sent it, unless that has not. */
function tellAgain(run, instances, xcom, cost) {
  const submit = find(instances, SUBMIT);
  const wait = find(instances, WAIT);
  const isOverAtKlap = wait?.state === "failed" && xcom(wait, "klap_error")?.type === FAILED_AT_KLAP;
  if (!hasEnded(run) || !isOverAtKlap || !submit || text(submit.rendered_fields.klap_task_id)) return null;
  return { place: place(submit), price: number(cost?.prices?.input_video), secondHand: cost?.second_hand !== false };
}

/** Width by height, as it was asked for; Klap's own is 9:16. */
function tellShape({ aspect_ratio, dimensions } = {}) {
  const { width, height } = dimensions ?? {};
  const [wide, high] = width && height ? [width, height] : String(aspect_ratio).split(":");
  return Number(wide) / Number(high) || 9 / 16;
}

function tellStage(answers, xcom, chosen, shorts, isWhole, now) {
  const { run, instances } = answers;
  const words = isWhole ? VIDEO : SHORTS;
  const [submit, wait, choose, publish] = [SUBMIT, WAIT, CHOOSE, PUBLISH].map((each) => find(instances, each));
  const stage = (instance, words, more = {}) => ({
    state: instance?.state ?? null,
    words,
    error: text(xcom(instance, "klap_error")?.error),
    // Airflow clears what has failed; what is to follow has done so as well when the run has ended, and not before.
    fate: hasEnded(run) ? tellFate(instance, xcom(instance, "klap_error")) : null,
    log: instance?.state === "failed" ? place(instance) : null,
    question: null,
    ...more,
  });
  const failed = [submit, wait, choose].find((each) => each?.state === "failed");
  if (failed) return stage(failed, FAILED[failed.operator] ?? words.noChoice);
  if (hasEnded(run)) {
    return stage(publish, endWords(answers, chosen, shorts, words), { state: run.state });
  }
  if (choose?.state === "awaiting_input") {
    return stage(choose, "Which shorts shall be exported?", { question: place(choose) });
  }
  if (submit && !isOver(submit)) {
    return stage(submit, text(run.conf?.klap_task_id) ? "Going on with what Klap has" : "Submitting the video to Klap");
  }
  if (wait && !isOver(wait))
    return stage(wait, waitWords(xcom(submit, "return_value")?.submitted_at ?? wait.start_date, now));
  if (choose && !isOver(choose))
    return stage(choose, answerOf(instances, xcom) ? "Going on with what was picked" : words.choosing);
  if (chosen.length > 0 && chosen.every(isOver)) return stage(publish, "Summing up");
  const exporting = isWhole ? chosen[0]?.words : chosen.length > 0 && `Exporting: ${tally(instances, chosen)}`;
  return stage(null, exporting || "Exporting", { state: run.state });
}

function endWords({ instances, forbidden }, chosen, shorts, words) {
  if (forbidden) return "The run has ended";
  if (shorts.length === 0) return words.none;
  if (shorts.every((short) => short.leftOut === LEFT_OUT.no_score))
    return "No short was selected: Klap gave none of them a score";
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
  if (hasEnded(run)) return 100;
  const steps = instances.filter(isOfShort);
  const all = chosen * new Set(steps.map((step) => step.task_id)).size;
  const hasBegun = steps.some((step) => step.state !== null);
  return hasBegun && all > 0 ? Math.min(100, Math.round((100 * steps.filter(isOver).length) / all)) : null;
}

function tellTotals(shorts, chosen, instances, isWhole) {
  const choose = find(instances, CHOOSE);
  const generated = { label: "Generated", value: String(shorts.length) };
  if (shorts.length === 0 || isWhole) return []; // of one video, its card says all
  if (choose && !isOver(choose)) return [generated];
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
  if (review.timed_out) return { by: "Nobody", words: "answered in time: the proposal was taken" };
  const words = `picked ${review.picked?.length ?? 0} of ${count(generated)}`;
  const at = text(review.answered_at);
  return { by: text(review.by) ?? "Somebody", words: at ? `${words} · ${momentWords(at)}` : words };
}
