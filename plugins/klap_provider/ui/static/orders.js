/** What the tab has Airflow do, as the bodies of requests. Pure. */
/** What the ids of runs begin with that export further shorts of a video; then comes Klap's id of its task. */
const MORE = "more__";

/** What the ids of all runs begin with that export further shorts of one of Klap's tasks. */
export const morePrefix = (klapTaskId) => `${MORE}${idPart(klapTaskId)}__`;

/** Fields of a trigger form without which a run cannot be told to export just these. */
export const canExport = (params, isWhole) =>
  Boolean(params) && "klap_task_id" in params && (isWhole || "project_ids" in params);

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

/** In the characters that Airflow allows in the id of a run. */
const idPart = (text) => text.replace(/[^A-Za-z0-9_.~:+-]+/g, "-").replace(/^-+|-+$/g, "");
