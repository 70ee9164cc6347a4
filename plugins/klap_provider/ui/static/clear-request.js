/** The request body that clears task instances. Pure. */
/**
 * Return the body that clears task instances of a run and their downstream tasks.
 *
 * @param {string} runId
 * @param {{task_id: string, map_index: number}[] | null} tasks null: all that failed
 * @param {boolean} onlyFailed clear only failed tasks, so that sending the request twice clears them once
 */
export const clearRequest = (runId, tasks, onlyFailed) => ({
  dry_run: false,
  dag_run_id: runId,
  only_failed: onlyFailed,
  include_downstream: true,
  prevent_running_task: true,
  ...(tasks ? { task_ids: tasks.map(({ task_id: id, map_index: index }) => (index < 0 ? id : [id, index])) } : {}),
});
