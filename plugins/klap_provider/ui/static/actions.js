/** Buttons that change something, and the requests that they send. */
import { ApiError, errorText, ledgerId, send, sendToPlugin } from "./api.js";
import { clearRequest } from "./clear-request.js";
import { Icon, h } from "./components.js";

const { createContext, useContext, useRef, useState } = globalThis.React;
const { Box, Button, Text } = globalThis.ChakraUI;

/** The text of a button wraps, however narrow the card is. */
const WRAPPED = { height: "auto", maxWidth: "100%", minHeight: 8, py: 1, textAlign: "start", whiteSpace: "normal" };
const STYLE = { ...WRAPPED, size: "xs", variant: "outline" };

/** The text for a user who lacks the permission for an action. */
const MISSING_PERMISSION = {
  start: "You need the permission to create Dag runs of this Dag.",
  clear: "You need the permission to edit task instances of this Dag.",
  answer: "You need the permission to edit required actions of this Dag.",
  resolve: "You need the permission to edit assets. Ask somebody who has it to open this page.",
};

/**
 * The state that the components of the tab share: the `details` of the run, its `watermark`, the `form` of its Dag, the
 * actions that were `denied`, `deny(action)`, `follow()` to read the run at once, `announce(message)`, and `answered()`
 * to record that this user `hasAnswered` the review.
 */
export const TabContext = createContext(null);

/**
 * A button that sends its request once, however often it is clicked meanwhile.
 *
 * @param {{action: keyof MISSING_PERMISSION, work: () => Promise<string | void>, label?: string, icon?: string,
 *   disabled?: boolean}} props `work` may return a message to show; `label` is the accessible name, default: the text
 */
export function ActionButton({ action, work, label, icon, disabled = false, children, ...style }) {
  const { denied, deny } = useContext(TabContext);
  const [state, setState] = useState({ isBusy: false, message: null, isError: false });
  const running = useRef(false);
  const click = async () => {
    if (running.current) return;
    running.current = true;
    setState({ isBusy: true, message: null, isError: false });
    try {
      setState({ isBusy: false, message: (await work()) ?? null, isError: false });
    } catch (error) {
      const failed = error.action ?? action;
      if (error.status === 403) deny(failed);
      setState({ isBusy: false, message: actionErrorText(error, failed), isError: true });
    }
    running.current = false;
  };
  const button = { "aria-label": label, disabled: disabled || denied[action], loading: state.isBusy, onClick: click };
  return h(
    Box,
    { maxWidth: "100%" },
    h(
      Button,
      { ...STYLE, title: denied[action] ? MISSING_PERMISSION[action] : undefined, ...style, ...button },
      icon && h(Icon, { name: icon }),
      children,
    ),
    state.message &&
      h(
        Text,
        {
          color: state.isError ? "failed.fg" : "fg.muted",
          fontSize: "sm",
          mt: 1,
          role: "alert",
          wordBreak: "break-word",
        },
        state.message,
      ),
  );
}

function actionErrorText(error, action) {
  const text = errorText(error, MISSING_PERMISSION[action]);
  return error instanceof ApiError ? text : `${text} Reload the page before you try again.`;
}

/** Return the path of a run below Airflow's API. `run` is the run's path in the UI, as segments. */
export const apiPath = ([, dagId, , runId]) => ["dags", dagId, "dagRuns", runId];

/**
 * Start the run that exports further shorts of a run's video, unless it exists. The server knows the video.
 *
 * @param {string[]} run the run's path in the UI, as segments
 * @param {string[]} ids of the shorts
 * @param {{src_url?: string | null, pos_x: number, pos_y: number, scale: number}} [watermark] default: that of the run;
 *   without `src_url`: the run's picture
 * @returns {Promise<{dag_id: string, run_id: string}>} the started run
 */
export const exportMore = (run, ids, watermark = undefined) =>
  sendToPlugin("POST", ["api", ...run, "exports"], { project_ids: ids, watermark });

/** Clear task instances of a run; see {@link clearRequest}. */
export async function clear([, dagId, , runId], tasks, { onlyFailed = false, isDryRun = false } = {}) {
  try {
    const request = clearRequest(runId, tasks, onlyFailed);
    return await send("POST", ["dags", dagId, "clearTaskInstances"], { ...request, dry_run: isDryRun });
  } catch (error) {
    error.action = "clear"; // another action may include it
    throw error;
  }
}

/**
 * Write a decision into the ledger, in place of the opposite one, and clear the task that waits for it. If the user may
 * not clear the task, nothing is written.
 *
 * @param {string[]} run the run's path in the UI, as segments
 * @param {{task_id: string, map_index: number}} task
 * @param {"adopt" | "resend"} decision
 * @param {string} entry the ledger entry of the request
 * @param {string | true} value Klap's id of the job, or true to send the request again
 */
export async function resolve(run, task, decision, entry, value, { onlyFailed = false } = {}) {
  await clear(run, [task], { onlyFailed, isDryRun: true });
  const ledger = await ledgerId();
  if (ledger === null) throw new ApiError(404, "There is no asset klap_ledger. Check that the Klap Dags are loaded.");
  const rows = ["assets", String(ledger), "state-store"];
  await send("PUT", [...rows, `${decision}.${entry}`], { value });
  try {
    await send("DELETE", [...rows, `${decision === "adopt" ? "resend" : "adopt"}.${entry}`]);
  } catch (error) {
    if (error.status !== 403) throw error; // a user may write, but not delete: if both rows exist, the task fails
  }
  await clear(run, [task], { onlyFailed });
}
