/** What the tab has Airflow do, as the bodies of requests. Pure. */
/**
 * Clear task instances of a run, and what comes after them.
 *
 * @param {string} runId
 * @param {{task_id: string, map_index: number}[] | null} places null: all that failed
 * @param {boolean} onlyFailed leave alone what has not failed, so that the same said twice does nothing
 */
export const clearOrder = (runId, places, onlyFailed) => ({
  dry_run: false,
  dag_run_id: runId,
  only_failed: onlyFailed,
  include_downstream: true,
  prevent_running_task: true,
  ...(places ? { task_ids: places.map(({ task_id: id, map_index: index }) => (index < 0 ? id : [id, index])) } : {}),
});
