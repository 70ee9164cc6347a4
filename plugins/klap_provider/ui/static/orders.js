/** What the tab has Airflow do, as the bodies of requests. Pure. */
import { fileOf } from "./words.js";

/** What the ids of runs begin with that export further shorts of a video; then comes Klap's id of its task. */
const MORE = "more__";

/** What the ids of all runs begin with that export further shorts of one of Klap's tasks. */
export const morePrefix = (klapTaskId) => `${MORE}${idPart(klapTaskId)}__`;

/** Fields of a trigger form without which a run cannot be told to export just these. */
export const canExport = (params, isWhole) =>
  Boolean(params) && "klap_task_id" in params && (isWhole || "project_ids" in params);

/**
 * A run that exports just these shorts of a task that was paid for, as the given run would, and asks nobody.
 *
 * The same order has the same id, whoever gives it and how often: Airflow has each run but once.
 *
 * @param {object} order
 * @param {Record<string, any>} order.conf what the given run was started with
 * @param {import("./story.js").Story} order.story of the given run
 * @param {Record<string, any>} order.params fields of the trigger form
 * @param {string[]} order.ids of the shorts; of a whole video they say nothing
 * @param {{src_url: string | null, pos_x: number, pos_y: number, scale: number} | null} [order.watermark] another one
 *   than that of the given run
 * @returns {{dag_run_id: string, logical_date: null, note: string, conf: Record<string, any>}}
 */
export function exportOrder({ conf, story, params, ids, watermark = null }) {
  const changed = {
    source_video_url: story.source?.text,
    klap_task_id: story.klapTaskId,
    ...(story.isWhole ? {} : { project_ids: ids }),
    // It was said on the button what it costs, and that is not to be asked again.
    ...("review" in params ? { review: false } : {}),
    ...("budget" in params ? { budget: null } : {}),
    ...Object.fromEntries(Object.entries(watermark ?? {}).map(([name, value]) => [`watermark_${name}`, value])),
  };
  const own = { ...conf, ...changed };
  const what = watermark ? markWords(watermark) : `${ids.length} more ${ids.length === 1 ? "short" : "shorts"}`;
  return {
    dag_run_id: `${morePrefix(story.klapTaskId)}${idPart(story.name ?? "").slice(0, 40)}__${digest(own)}`,
    logical_date: null,
    note: `${story.name}: ${what}`.slice(0, 1000),
    conf: own,
  };
}

/**
 * Clear task instances of a run, and what comes after them.
 *
 * @param {string} runId
 * @param {import("./shorts.js").Place[] | null} places null: all that failed
 * @param {boolean} onlyFailed leave alone what has not failed, so that the same said twice does nothing
 */
export const clearOrder = (runId, places, onlyFailed) => ({
  dry_run: false,
  dag_run_id: runId,
  only_failed: onlyFailed,
  include_downstream: true,
  prevent_running_task: true,
  ...(places ? { task_ids: places.map(({ taskId, mapIndex }) => (mapIndex < 0 ? taskId : [taskId, mapIndex])) } : {}),
});

/** Another watermark in words: of its address, which may be a secret, the name of the file. */
function markWords({ src_url: address }) {
  if (!address) return "no watermark";
  const name = fileOf(address);
  return `another watermark${name ? `, ${name}` : ""}`;
}

/** In the characters that Airflow allows in the id of a run. */
const idPart = (text) => text.replace(/[^A-Za-z0-9_.~:+-]+/g, "-").replace(/^-+|-+$/g, "");

/** A short name for facts, the same for the same; enough to tell the orders of one video apart. */
function digest(facts) {
  let [one, other] = [0xdeadbeef, 0x41c6ce57];
  for (const letter of JSON.stringify(facts, Object.keys(facts).sort())) {
    const code = letter.codePointAt(0);
    one = Math.imul(one ^ code, 0x9e3779b1);
    other = Math.imul(other ^ code, 0x5f356495);
  }
  return [one, other].map((half) => ((half ^ (half >>> 15)) >>> 0).toString(36)).join("");
}
