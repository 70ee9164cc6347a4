/** Buttons that change something, and the requests that they send. */
import { ApiError, errorText, postToPlugin } from "./api.js";
import { h, Icon } from "./components.js";
import { confirmation } from "./texts.js";

const { createContext, useContext, useRef, useState } = globalThis.React;
const { Box, Button, DialogActionTrigger, DialogBackdrop, DialogBody, DialogContent, DialogFooter, DialogHeader } =
  globalThis.ChakraUI;
const { DialogPositioner, DialogRoot, DialogTitle, Portal, Text } = globalThis.ChakraUI;

/** The text of a button wraps, however narrow the card is. */
const WRAPPED = { height: "auto", maxWidth: "100%", minHeight: 8, py: 1, textAlign: "start", whiteSpace: "normal" };
const STYLE = { ...WRAPPED, size: "xs", variant: "outline" };

/**
 * The state that the components of the tab share.
 *
 * @typedef {object} TabState
 * @property {Details} details the details of the run
 * @property {Watermark} watermark the watermark of the run
 * @property {RunView["form"]} form the form of its Dag
 * @property {Record<string, string>} denied the actions that were denied, each with the reason
 * @property {(action: string, reason: string) => void} deny
 * @property {() => Promise<void> | undefined} follow reads the run at once
 * @property {(message: string) => void} announce
 * @property {boolean} hasAnswered whether this user answered the review
 * @property {() => void} answered records that
 */
export const TabContext = createContext(/** @type {TabState} */ ({}));

/** Whether a button of the question works, and the setter. */
const QuestionContext = createContext(
  /** @type {{isBusy: boolean, setBusy: (isBusy: boolean) => void} | null} */ (null),
);

/** The buttons of a question: while one of them works, all are disabled. */
export function Question(/** @type {{children?: any}} */ { children }) {
  const [isBusy, setBusy] = useState(false);
  return h(QuestionContext.Provider, { value: { isBusy, setBusy } }, children);
}

/** @type {{isBusy: boolean, message: string | null, isError: boolean}} */
const IDLE = { isBusy: false, message: null, isError: false };

/**
 * A button that sends its request once, and is busy until the tab shows the new state.
 *
 * @param {object} props
 * @param {string} props.action names the permission: buttons of the same action are disabled for a user who lacks it
 * @param {() => Promise<string | void>} props.work may return a message to show
 * @param {{price: number | null, estimated: boolean, again?: boolean, text?: string} | null} [props.pays] see {@link confirmation}
 * @param {string | null} [props.question] a question to ask first, whatever is paid
 * @param {string} [props.label] the accessible name, default: the text
 * @param {string} [props.icon]
 * @param {boolean} [props.disabled]
 * @param {string} [props.describedBy] the id of the element that tells why it is disabled
 * @param {string} [props.colorPalette]
 * @param {string} [props.variant]
 * @param {any} [props.children] the text
 */
export function ActionButton(props) {
  const { action, work, pays, question, label, icon, disabled = false, describedBy, children, ...style } = props;
  const { denied, deny, follow, announce } = useContext(TabContext);
  const group = useContext(QuestionContext);
  const [state, setState] = useState(IDLE);
  const [isAsking, setAsking] = useState(false);
  const running = useRef(false);
  const ask = question ?? confirmation(pays);
  const start = async () => {
    if (running.current || group?.isBusy) return;
    running.current = true;
    group?.setBusy(true);
    setState({ ...IDLE, isBusy: true });
    try {
      const message = (await work()) ?? null;
      await follow();
      setState({ ...IDLE, message });
    } catch (error) {
      const text = errorText(error);
      const status = error instanceof ApiError ? error.status : null;
      if (status === 403) deny(action, text);
      if (status === 409) {
        announce(text); // this button may disappear
        await follow();
        setState(IDLE);
      } else setState({ isBusy: false, message: text, isError: true });
    }
    running.current = false;
    group?.setBusy(false);
    setAsking(false);
  };
  const isDisabled = disabled || Boolean(denied[action]) || (group?.isBusy ?? false);
  const click = ask ? () => setAsking(true) : start;
  const button = {
    "aria-describedby": describedBy,
    "aria-label": label,
    disabled: isDisabled,
    loading: state.isBusy,
    onClick: click,
  };
  const message = { color: state.isError ? "failed.fg" : "fg.muted", fontSize: "sm", mt: 1, role: "alert" };
  return h(
    Box,
    { maxWidth: "100%" },
    h(Button, { ...STYLE, title: denied[action], ...style, ...button }, icon && h(Icon, { name: icon }), children),
    isAsking &&
      ask &&
      h(Confirmation, { text: ask, button: children, isBusy: state.isBusy, setAsking, confirm: start }),
    state.message && h(Text, { ...message, wordBreak: "break-word" }, state.message),
  );
}

/**
 * It stays open while the action works, so that a second click does not reach the page behind it.
 *
 * @param {object} props
 * @param {string} props.text
 * @param {any} props.button the text of the button that was pressed
 * @param {boolean} props.isBusy
 * @param {(isAsking: boolean) => void} props.setAsking
 * @param {() => void} props.confirm
 */
function Confirmation({ text, button, isBusy, setAsking, confirm }) {
  return h(
    DialogRoot,
    { onOpenChange: () => setAsking(isBusy), open: true, role: "alertdialog", size: "sm" },
    h(
      Portal,
      null,
      h(DialogBackdrop),
      h(
        DialogPositioner,
        null,
        h(
          DialogContent,
          null,
          h(DialogHeader, null, h(DialogTitle, null, button)),
          h(DialogBody, null, text),
          h(
            DialogFooter,
            null,
            h(DialogActionTrigger, { asChild: true }, h(Button, { size: "sm", variant: "outline" }, "Cancel")),
            h(Button, { colorPalette: "brand", loading: isBusy, onClick: confirm, size: "sm" }, "Confirm"),
          ),
        ),
      ),
    ),
  );
}

const actionPath = (/** @type {string[]} */ run, /** @type {string} */ what) => ["api", ...run, what];

/**
 * Start the run that exports further shorts of a run's video, unless it exists. The server knows the video.
 *
 * @param {string[]} run the run's path in the UI, as segments
 * @param {string[]} ids of the shorts
 * @param {Record<string, string | number | null | undefined>} [watermark] `src_url`, `pos_x`, `pos_y` and `scale`;
 *   default: that of the run; without `src_url`: the run's picture
 * @returns {Promise<{dag_id: string, run_id: string}>} the started run
 */
export const exportMore = (run, ids, watermark = undefined) =>
  postToPlugin(actionPath(run, "exports"), { project_ids: ids, watermark });

/**
 * Repeat a step that failed.
 *
 * @param {string[]} run the run's path in the UI, as segments
 * @param {{tasks: TaskRef[]}} step
 */
export const repeat = (run, { tasks }) => postToPlugin(actionPath(run, "repetitions"), { tasks });

/**
 * Resolve a paid request: continue with a job, or send the request again.
 *
 * @param {string[]} run the run's path in the UI, as segments
 * @param {Doubt | PaidExport} request
 * @param {string | null} jobId Klap's id of the job; null: send the request again
 */
export const resolve = (run, { task, entry, version }, jobId) =>
  postToPlugin(actionPath(run, "decisions"), { request: { task, entry, version }, job_id: jobId });

/**
 * Answer a review.
 *
 * @param {string[]} run the run's path in the UI, as segments
 * @param {Question} question
 * @param {Record<string, string>} options the selected shorts by id, each with its option of the question
 */
export const answerReview = (run, { task }, options) => postToPlugin(actionPath(run, "answers"), { task, options });
