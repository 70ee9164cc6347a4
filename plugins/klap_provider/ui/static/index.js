/**
 * The Shorts tab of a run page: what Airflow loads.
 *
 * Airflow gives the page its own React, Chakra UI and router as globals, and takes the component from the global that
 * is named as the app in plugin.py. This module imports all others, so that the browser asks for them side by side.
 * The server builds what the tab shows, see ui/run_view.py; this draws it.
 */
import { Acting } from "./acting.js";
import { ApiError, askPlugin } from "./api.js";
import { ShortCard } from "./card.js";
import { FollowUp, LeftOut } from "./more.js";
import { CardGrid, Notice, h } from "./parts.js";
import { Picker } from "./picker.js";
import { Polling } from "./polling.js";
import { NoShorts, Summary } from "./summary.js";
import { SHORTS, VIDEO } from "./words.js";

const { Fragment, Suspense, lazy, useCallback, useEffect, useMemo, useRef, useState } = globalThis.React;
const { Button, Heading, Skeleton, Stack, Text } = globalThis.ChakraUI;

// For the runs of batches.
const BatchVideos = lazy(async () => ({ default: (await import("./page/batch.js")).BatchVideos }));

const REMEMBERED = 8; // runs
const OPEN = 5; // follow-up runs; of more, those that have ended are folded up

// Airflow mounts the component again when it likes. The runs that were looked at last are shown again at once.
const remembered = new Map();

function remember(key, seen) {
  remembered.delete(key);
  remembered.set(key, seen);
  if (remembered.size > REMEMBERED) remembered.delete(remembered.keys().next().value);
}

const NOT_SERVED =
  "The API server may not send files from this destination, so the players show Klap's copy. An administrator of Airflow " +
  "can add the destination to allowed_destinations, in the section [klap] of its configuration.";

const NOTHING = { answer: null, etag: null };

/** Whether something may still happen by itself. */
const isOpen = ({ story, batch, follow_ups: followUps }) =>
  (story !== null && !story.ended) || (batch !== null && !batch.ended) || followUps.some(({ ended }) => !ended);

/** Follow a run: what is known of it, what went wrong with the last poll, and what polls at once. */
function useRunView(dagId, runId) {
  const path = useMemo(() => ["api", "dags", dagId, "runs", runId, "shorts"], [dagId, runId]);
  const key = path.join(" ");
  const [seen, setSeen] = useState({ view: remembered.get(key)?.answer ?? null, error: null });
  const polling = useRef(null);
  useEffect(() => {
    const ask = async (signal) => {
      const known = await askPlugin(path, remembered.get(key) ?? NOTHING, signal);
      remember(key, known);
      return known.answer;
    };
    const loop = new Polling({
      ask,
      show: (view) => setSeen((before) => (before.view === view && !before.error ? before : { view, error: null })),
      fail: (error) => setSeen(({ view }) => ({ view, error })),
      pause: (view) => (isOpen(view) && view.refresh > 0 ? view.refresh : null),
      isEager: true,
    });
    polling.current = loop;
    setSeen({ view: remembered.get(key)?.answer ?? null, error: null });
    loop.start();
    return () => loop.stop();
  }, [key, path]);
  const follow = useCallback(() => polling.current?.now(), []);
  return { ...seen, follow };
}

/** @param {{dagId: string, runId: string}} props */
function ShortsTab({ dagId, runId }) {
  const { view, error, follow } = useRunView(dagId, runId);
  const run = ["dags", dagId, "runs", runId];
  const [said, announce] = useState(null);
  const [refused, setRefused] = useState({});
  const refuse = useCallback((act) => setRefused((before) => ({ ...before, [act]: true })), []);
  const [answeredRun, setAnsweredRun] = useState(null);
  const answered = () => setAnsweredRun(run.join(" "));
  const hasAnswered = answeredRun === run.join(" ");
  const { story = null, form = null, watermark = null } = view ?? {};
  const acting = { announce, answered, follow, form, hasAnswered, refuse, refused, story, watermark };
  return h(
    Acting.Provider,
    { value: acting },
    h(
      Stack,
      // Airflow's page is never narrower than 1280 px, and scrolls sideways in a window that is: stay as wide as is seen.
      { gap: 4, maxWidth: { base: "calc(100vw - 5rem)", lg: "none" }, p: 2, pt: 4 },
      error && h(Problem, { error, retry: follow }),
      said && h(Notice, { status: "warning" }, said),
      view?.problems.length > 0 && h(Unreadable, { problems: view.problems }),
      view ? h(View, { view, run }) : !error && h(Loading),
    ),
  );
}

function View({ view, run }) {
  const { story, batch } = view;
  if (story !== null) return h(StoryView, { view, run });
  if (batch === null) return h(Text, { color: "fg.muted" }, "No task of this run works with Klap.");
  return h(Suspense, { fallback: null }, h(BatchVideos, { batch }));
}

function StoryView({ view, run }) {
  const { story, follow_ups: followUps, may_read_xcoms: mayRead } = view;
  const { is_whole: isWhole } = story;
  const isAsked = story.question !== null && story.shorts.length > 0;
  const exportedLater = new Set(followUps.flatMap(({ project_ids: ids }) => ids));
  const selected = story.shorts.filter((short) => short.left_out === null);
  const leftOut = story.shorts.filter((short) => short.left_out !== null && !exportedLater.has(short.id));
  return h(
    Fragment,
    null,
    h(Summary, { story, run, further: followUps.map((each) => each.story).filter(Boolean) }),
    !mayRead &&
      h(Notice, { status: "warning" }, "You may not read the XComs of this Dag. They record what Klap made."),
    mayRead && story.shorts.length === 0 && !story.stage.in_doubt && h(NoShorts, { story }),
    isAsked && h(Picker, { key: `${run.join(" ")} ${story.question.asked_at}`, story, run }),
    !isAsked && selected.length > 0 && h(Selected, { shorts: selected, run, isWhole }),
    ...followUps.map((given, place) =>
      h(FollowUp, { key: given.run_id, given, isFolded: place >= OPEN && given.ended }),
    ),
    !isAsked && leftOut.length > 0 && h(LeftOut, { shorts: leftOut, run }),
  );
}

function Selected({ shorts, run, isWhole }) {
  const { title } = isWhole ? VIDEO : SHORTS;
  return h(
    Stack,
    { as: "section", "aria-label": title, gap: 2 },
    h(Heading, { as: "h2", size: "md" }, isWhole ? title : `${title} (${shorts.length})`),
    shorts.some(({ path, stored }) => path !== null && !stored) &&
      h(Text, { color: "fg.muted", fontSize: "sm" }, NOT_SERVED),
    h(CardGrid, {
      shorts,
      draw: (short) => h(ShortCard, { key: short.id, short, run }),
      ...(isWhole ? { columns: "minmax(0, 36rem)" } : {}),
    }),
  );
}

function Unreadable({ problems }) {
  return h(Notice, { status: "warning" }, ...problems.map((words) => h(Text, { key: words }, words)));
}

function Problem({ error, retry }) {
  return h(
    Notice,
    { status: "error" },
    problemWords(error),
    " ",
    h(Button, { onClick: retry, size: "xs", variant: "outline" }, "Retry"),
  );
}

function problemWords(error) {
  if (!(error instanceof ApiError)) return `Airflow did not answer (${error.message}).`;
  if (error.status === 401) return "Your session has ended: sign in again.";
  if (error.status === 403) return "You may not see the task instances of this run.";
  return `Airflow answered ${error.status}: ${error.message}.`;
}

function Loading() {
  const lines = ["40%", "100%", "100%"].map((width, line) =>
    h(Skeleton, { key: line, height: line < 2 ? 5 : 56, width }),
  );
  return h(Stack, { "aria-busy": true, "aria-label": "Loading", gap: 3, role: "status" }, ...lines);
}

globalThis.Shorts = ShortsTab;
