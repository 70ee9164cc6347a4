/**
 * The Shorts tab of a run page: what Airflow loads.
 *
 * Airflow gives the page its own React, Chakra UI and router as globals, and takes the component from the global that
 * is named as the app in plugin.py. This module imports all others, so that the browser loads them in parallel.
 * The server builds the data, see ui/shorts_tab.py; these modules draw it.
 */
import { TabContext } from "./actions.js";
import { getIfChanged } from "./api.js";
import { ShortCard } from "./card.js";
import { CardGrid } from "./card-grid.js";
import { h, Muted } from "./components.js";
import { AllDelivered } from "./delivered.js";
import { FollowUp, NotSelected } from "./further-exports.js";
import { ErrorBoundary, Loading, Notice, RequestError } from "./messages.js";
import { Polling } from "./polling.js";
import { Review } from "./review.js";
import { NoShorts, Summary } from "./summary.js";
import { SHORTS, VIDEO } from "./texts.js";

const { Fragment, Suspense, lazy, useCallback, useEffect, useMemo, useRef, useState } = globalThis.React;
const { Heading, HStack, Stack, Text } = globalThis.ChakraUI;

// For the runs of batches.
const BatchVideos = lazy(async () => ({ default: (await import("./page/batch.js")).BatchVideos }));

const REMEMBERED = 8; // runs
const OPEN = 5; // follow-up runs; further ones are folded when they have ended

// Airflow may mount the component again at any time. The runs that were shown last are shown again at once.
const remembered = new Map();

function remember(/** @type {string} */ key, /** @type {{response: RunView, etag: string | null}} */ known) {
  remembered.delete(key);
  remembered.set(key, known);
  if (remembered.size > REMEMBERED) remembered.delete(remembered.keys().next().value);
}

const NOT_SERVED =
  "The players show Klap's copy, because the API server is not allowed to send files from this destination. " +
  "An administrator of Airflow can add the destination to allowed_destinations in the section [klap].";

const NO_PERMISSION = "You need the permission to read task instances of this Dag. Ask an administrator.";

const NOTHING = { response: null, etag: null };

/** Whether the run, or a run that belongs to it, has not ended. */
const isOpen = (/** @type {RunView} */ { details, batch, follow_ups: followUps }) =>
  (details !== null && !details.ended) || (batch !== null && !batch.ended) || followUps.some(({ ended }) => !ended);

/** Poll the view of a run. Returns the `view`, the `error` of the last poll, and `follow()` to poll at once. */
function useRunView(/** @type {string} */ dagId, /** @type {string} */ runId) {
  const path = useMemo(() => ["api", "dags", dagId, "runs", runId, "shorts"], [dagId, runId]);
  const key = path.join(" ");
  /** @type {{view: RunView | null, error: Error | null}} */
  const atFirst = { view: remembered.get(key)?.response ?? null, error: null };
  const [seen, setSeen] = useState(atFirst);
  const polling = useRef(/** @type {Polling | null} */ (null));
  useEffect(() => {
    const load = async (/** @type {AbortSignal} */ signal) => {
      const known = await getIfChanged(path, remembered.get(key) ?? NOTHING, signal);
      remember(key, known);
      return known.response;
    };
    const loop = new Polling({
      load,
      show: (view) => setSeen((before) => (before.view === view && !before.error ? before : { view, error: null })),
      fail: (error) => setSeen(({ view }) => ({ view, error })),
      pause: (view) => (isOpen(view) && view.refresh > 0 ? view.refresh : null),
      isEager: true,
    });
    polling.current = loop;
    setSeen({ view: remembered.get(key)?.response ?? null, error: null });
    loop.start();
    return () => loop.stop();
  }, [key, path]);
  const follow = useCallback(() => polling.current?.now(), []);
  return { ...seen, follow };
}

let scrolledTo = "";

/**
 * Scroll the tab into view, once per run: in a narrow window, it is to the right of Airflow's grid.
 *
 * @param {string} key identifies the run
 */
function useScrollIntoView(key) {
  const element = useRef(/** @type {any} */ (null));
  useEffect(() => {
    if (scrolledTo === key || element.current.getBoundingClientRect().right <= globalThis.innerWidth) return;
    scrolledTo = key;
    element.current.scrollIntoView({ block: "nearest", inline: "start" });
  }, [key]);
  return element;
}

/** @param {{dagId: string, runId: string}} props */
function ShortsTab({ dagId, runId }) {
  const { view, error, follow } = useRunView(dagId, runId);
  const run = ["dags", dagId, "runs", runId];
  const tab = useScrollIntoView(run.join(" "));
  const [message, announce] = useState(/** @type {string | null} */ (null));
  const [denied, setDenied] = useState({});
  const deny = useCallback(
    (/** @type {string} */ action, /** @type {string} */ reason) =>
      setDenied((before) => ({ ...before, [action]: reason })),
    [],
  );
  const [answeredRun, setAnsweredRun] = useState("");
  const answered = () => setAnsweredRun(run.join(" "));
  const hasAnswered = answeredRun === run.join(" ");
  const { details, form, watermark } = /** @type {any} */ (view ?? {}); // nothing uses these before there is a view
  const context = { announce, answered, follow, form, hasAnswered, deny, denied, details, watermark };
  return h(
    TabContext.Provider,
    { value: context },
    h(
      Stack,
      // Airflow's page is at least 1280 px wide, and scrolls in a narrower window: the tab stays as wide as the window.
      { gap: 4, maxWidth: { base: "calc(100vw - 5rem)", lg: "none" }, p: 2, pt: 4, ref: tab },
      error && h(RequestError, { error, retry: follow, forbidden: NO_PERMISSION }),
      message && h(Notice, { status: "warning" }, message),
      view && view.problems.length > 0 && h(Unreadable, { problems: view.problems }),
      view ? h(ErrorBoundary, null, h(View, { view, run })) : !error && h(Loading, { heights: [5, 5, 56] }),
    ),
  );
}

const NO_KLAP_TASKS =
  "This run has no Klap tasks that this tab can show. The Klap page lists the shorts and payments of GenerateShortsOperator.";

/** @param {{view: RunView, run: string[]}} props */
function View({ view, run }) {
  const { details, batch } = view;
  if (details !== null) return h(RunParts, { view, details, run });
  if (batch === null) return h(Text, { color: "fg.muted" }, NO_KLAP_TASKS);
  return h(Suspense, { fallback: null }, h(BatchVideos, { batch }));
}

/** @param {{view: RunView, details: Details, run: string[]}} props */
function RunParts({ view, details, run }) {
  const { follow_ups: followUps, may_read_xcoms: mayRead } = view;
  const { is_whole: isWhole } = details;
  const question = details.shorts.length > 0 ? details.question : null;
  const exportedLater = new Set(followUps.flatMap(({ project_ids: ids }) => ids));
  const selected = details.shorts.filter((short) => short.left_out === null);
  const leftOut = details.shorts.filter((short) => short.left_out !== null && !exportedLater.has(short.id));
  return h(
    Fragment,
    null,
    h(ErrorBoundary, null, h(Summary, { details, run, further: followUps.flatMap((each) => each.details ?? []) })),
    !mayRead &&
      h(
        Notice,
        { status: "warning" },
        "You need the permission to read XComs of this Dag to see its shorts. Ask an administrator.",
      ),
    mayRead && details.shorts.length === 0 && !details.stage.in_doubt && h(NoShorts, { details }),
    question &&
      h(ErrorBoundary, { key: `${run.join(" ")} ${question.asked_at}` }, h(Review, { details, question, run })),
    !question && selected.length > 0 && h(ErrorBoundary, null, h(Selected, { shorts: selected, run, isWhole })),
    ...followUps.map((given, index) =>
      h(ErrorBoundary, { key: given.run_id }, h(FollowUp, { given, isFolded: index >= OPEN && given.ended })),
    ),
    !question &&
      leftOut.length > 0 &&
      h(ErrorBoundary, { key: run.join(" ") }, h(NotSelected, { shorts: leftOut, run })),
  );
}

/** @param {{shorts: Short[], run: string[], isWhole: boolean}} props */
function Selected({ shorts, run, isWhole }) {
  const { title } = isWhole ? VIDEO : SHORTS;
  return h(
    Stack,
    { as: "section", "aria-label": title, gap: 2 },
    h(
      HStack,
      { columnGap: 4, flexWrap: "wrap" },
      h(Heading, { as: "h2", size: "md" }, isWhole ? title : `${title} (${shorts.length})`),
      h(AllDelivered, { shorts, run }),
    ),
    shorts.some(({ path, stored }) => path !== null && !stored) && h(Muted, null, NOT_SERVED),
    h(CardGrid, {
      shorts,
      draw: (short) => h(ShortCard, { key: short.id, short, run }),
      ...(isWhole ? { columns: "minmax(0, 36rem)" } : {}),
    }),
  );
}

/** @param {{problems: string[]}} props */
function Unreadable({ problems }) {
  return h(Notice, { status: "warning" }, ...problems.map((text) => h(Text, { key: text }, text)));
}

globalThis.Shorts = (props) => h(ErrorBoundary, null, h(ShortsTab, props));
