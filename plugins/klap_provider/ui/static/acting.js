/** Buttons that do something, each once, and what may be said about it. */
import { ApiError, ledgerId, send, sendToPlugin } from "./api.js";
import { clearOrder } from "./orders.js";
import { Icon, h } from "./parts.js";

const { createContext, useContext, useRef, useState } = globalThis.React;
const { Box, Button, Text } = globalThis.ChakraUI;

/** What a button says is read whole, however narrow the card is. */
const WRAPPED = { height: "auto", maxWidth: "100%", minHeight: 8, py: 1, textAlign: "start", whiteSpace: "normal" };
const LOOK = { ...WRAPPED, size: "xs", variant: "outline" };

/** What Airflow's permissions are called that an act needs, and who may help. */
const NEEDS = {
  start: "You may not start runs of this Dag. It takes the permission to create Dag runs.",
  clear: "You may not clear tasks of this Dag. It takes the permission to edit task instances.",
  answer: "You may not answer for this Dag. It takes the permission to edit required actions.",
  decide: "You may not edit Airflow's assets, and so not the ledger. Ask somebody who may to open this page.",
};

/**
 * What the parts of the tab know of it: the `story` of the run and its `watermark`, the `form` of its Dag, what was
 * `refused` so far, by act, and `refuse(act)`, `follow()` to ask for the run at once, `announce(words)`, `answered()` to
 * note that it is this user who `hasAnswered` the run's question.
 */
export const Acting = createContext(null);

/**
 * A button whose act is carried out once, however often it is clicked meanwhile.
 *
 * @param {{act: keyof NEEDS, work: () => Promise<string | void>, label?: string, icon?: string, disabled?: boolean}} props
 *   `work` may return what to say afterwards; `label` is read out in place of the text
 */
export function ActButton({ act, work, label, icon, disabled = false, children, ...look }) {
  const { refused, refuse } = useContext(Acting);
  const [state, setState] = useState({ isBusy: false, said: null, isProblem: false });
  const running = useRef(false);
  const click = async () => {
    if (running.current) return;
    running.current = true;
    setState({ isBusy: true, said: null, isProblem: false });
    try {
      setState({ isBusy: false, said: (await work()) ?? null, isProblem: false });
    } catch (error) {
      const needed = error.act ?? act;
      if (error.status === 403) refuse(needed);
      setState({ isBusy: false, said: problemOf(error, needed), isProblem: true });
    }
    running.current = false;
  };
  const button = { "aria-label": label, disabled: disabled || refused[act], loading: state.isBusy, onClick: click };
  return h(
    Box,
    { maxWidth: "100%" },
    h(
      Button,
      { ...LOOK, title: refused[act] ? NEEDS[act] : undefined, ...look, ...button },
      icon && h(Icon, { name: icon }),
      children,
    ),
    state.said &&
      h(
        Text,
        {
          color: state.isProblem ? "failed.fg" : "fg.muted",
          fontSize: "sm",
          mt: 1,
          role: "alert",
          wordBreak: "break-word",
        },
        state.said,
      ),
  );
}

function problemOf(error, act) {
  if (!(error instanceof ApiError))
    return `Airflow did not answer (${error.message}). Look again before you repeat it.`;
  if (error.status === 401) return "Your session has ended: sign in again.";
  return error.status === 403 ? NEEDS[act] : `Airflow answered ${error.status}: ${error.message}`;
}

/** The path below Airflow's API of a run whose address in the UI is given, in parts. */
export const inApi = ([, dagId, , runId]) => ["dags", dagId, "dagRuns", runId];

/**
 * Start the run that exports further shorts of a run's video, unless that run is there: the server knows which video.
 *
 * @param {string[]} run the run's address, in parts
 * @param {string[]} ids of the shorts
 * @param {{src_url?: string | null, pos_x: number, pos_y: number, scale: number}} [watermark] another one than that of
 *   the run; without an address: its picture
 * @returns {Promise<{dag_id: string, run_id: string}>} that run
 */
export const exportMore = (run, ids, watermark = undefined) =>
  sendToPlugin("POST", ["api", ...run, "exports"], { project_ids: ids, watermark });

/** Clear task instances of a run: {@link clearOrder}. */
export async function clear([, dagId, , runId], places, { onlyFailed = false, isTrial = false } = {}) {
  try {
    const order = clearOrder(runId, places, onlyFailed);
    return await send("POST", ["dags", dagId, "clearTaskInstances"], { ...order, dry_run: isTrial });
  } catch (error) {
    error.act = "clear"; // which may be a part of something else
    throw error;
  }
}

/**
 * Write a person's word into the ledger, in place of the opposite one, and clear the task that waits for it. Nothing is
 * written by who may not clear.
 *
 * @param {string[]} run the run's address, in parts
 * @param {{task_id: string, map_index: number}} place of the task
 * @param {"adopt" | "resend"} word
 * @param {string} entry what it is about
 * @param {string | true} value
 */
export async function decide(run, place, word, entry, value, { onlyFailed = false } = {}) {
  await clear(run, [place], { onlyFailed, isTrial: true });
  const ledger = await ledgerId();
  if (ledger === null) throw new Error("there is no asset klap_ledger");
  const rows = ["assets", String(ledger), "state-store"];
  await send("PUT", [...rows, `${word}.${entry}`], { value });
  try {
    await send("DELETE", [...rows, `${word === "adopt" ? "resend" : "adopt"}.${entry}`]);
  } catch (error) {
    if (error.status !== 403) throw error; // who may write, but not delete: if there are both, the task will say so
  }
  await clear(run, [place], { onlyFailed });
}
