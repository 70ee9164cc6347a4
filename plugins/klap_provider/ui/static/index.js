/**
 * The Shorts tab of a run page: what Airflow loads.
 *
 * Airflow gives the page its own React, Chakra UI and router as globals, and takes the component from the global that
 * is named as the app in plugin.py. This module imports all others, so that the browser asks for them side by side.
 */
import { Acting } from "./acting.js";
import { ApiError, get } from "./api.js";
import { ShortCard } from "./card.js";
import { LaterRun, LeftOut, useLaterRuns } from "./more.js";
import { CardGrid, Notice, h } from "./parts.js";
import { Picker } from "./picker.js";
import { RunReader } from "./reader.js";
import { tell } from "./story.js";
import { NoShorts, Summary } from "./summary.js";
import { watch } from "./watch.js";
import { SHORTS, VIDEO } from "./words.js";

const { Fragment, Suspense, lazy, useCallback, useEffect, useMemo, useState } = globalThis.React;
const { Button, Heading, Skeleton, Stack } = globalThis.ChakraUI;

// For runs without a story: those of batches, and those that have nothing to do with Klap.
const BatchVideos = lazy(async () => ({ default: (await import("./page/batch.js")).BatchVideos }));

const REMEMBERED = 8; // runs

// Airflow mounts the component anew when it likes. The runs that were looked at last are shown again at once.
const remembered = new Map();

function readerOf(dagId, runId) {
  const key = JSON.stringify([dagId, runId]);
  const reader = remembered.get(key) ?? new RunReader(dagId, runId, get);
  remembered.delete(key);
  remembered.set(key, reader);
  if (remembered.size > REMEMBERED) remembered.delete(remembered.keys().next().value);
  return reader;
}

/** Follow a run: what is known of it, what went wrong with the last look, and what has it looked at again at once. */
function useRun(dagId, runId) {
  const reader = useMemo(() => readerOf(dagId, runId), [dagId, runId]);
  const [seen, setSeen] = useState({ answers: reader.latest, error: null });
  const [attempt, setAttempt] = useState(0);
  useEffect(() => {
    const abort = new AbortController();
    const show = (answers) => setSeen({ answers, error: null });
    const fail = (error) => setSeen(({ answers }) => ({ answers, error }));
    watch(reader, abort.signal, show, fail);
    return () => abort.abort();
  }, [reader, attempt]);
  const story = useMemo(() => seen.answers && tell(seen.answers, new Date()), [seen.answers]);
  const follow = useCallback(() => setAttempt((before) => before + 1), []);
  return { ...seen, story, follow, run: ["dags", dagId, "runs", runId] };
}

/** The fields of a Dag's trigger form, and whether the Dag is paused; null until that is known. */
function useForm(dagId, isWanted) {
  const [form, setForm] = useState(null);
  useEffect(() => {
    const abort = new AbortController();
    const show = ({ params, is_paused: isPaused }) => setForm({ params, isPaused });
    if (isWanted) get(["dags", dagId, "details"], {}, abort.signal).then(show, () => {}); // then nothing can be started
    return () => abort.abort();
  }, [dagId, isWanted]);
  return form;
}

/** @param {{dagId: string, runId: string}} props */
function ShortsTab({ dagId, runId }) {
  const { answers, error, story, follow, run } = useRun(dagId, runId);
  const klapTaskId = story?.klapTaskId ?? null;
  const form = useForm(dagId, klapTaskId !== null);
  const [later, started] = useLaterRuns(dagId, runId, klapTaskId);
  const [said, announce] = useState(null);
  const [refused, setRefused] = useState({});
  const refuse = useCallback((act) => setRefused((before) => ({ ...before, [act]: true })), []);
  const [answeredRun, setAnsweredRun] = useState(null);
  const answered = () => setAnsweredRun(run.join(" "));
  const hasAnswered = answeredRun === run.join(" ");
  const answer = { answered, hasAnswered };
  const acting = { ...answer, announce, conf: answers?.run.conf, follow, form, refuse, refused, started, story };
  return h(
    Acting.Provider,
    { value: acting },
    h(
      Stack,
      // Airflow's page is never narrower than 1280 px, and scrolls sideways in a window that is: stay as wide as is seen.
      { gap: 4, maxWidth: { base: "calc(100vw - 5rem)", lg: "none" }, p: 2, pt: 4 },
      error && h(Problem, { error, retry: follow }),
      said && h(Notice, { status: "warning" }, said),
      answers ? h(StoryView, { story, run, later }) : !error && h(Loading),
    ),
  );
}

function StoryView({ story, run, later }) {
  const [told, setTold] = useState({});
  const tellOf = useCallback((runId, itsStory) => setTold((before) => ({ ...before, [runId]: itsStory })), []);
  if (story === null) return h(Suspense, { fallback: null }, h(BatchVideos, { dagId: run[1], runId: run[3] }));
  const { isWhole } = story;
  const isAsked = story.stage.question !== null && story.shorts.length > 0;
  const further = later.map((given) => told[given.dag_run_id]).filter(Boolean);
  const exportedLater = new Set(later.flatMap(({ conf }) => conf?.project_ids ?? []));
  const chosen = story.shorts.filter((short) => short.leftOut === null);
  const leftOut = story.shorts.filter((short) => short.leftOut !== null && !exportedLater.has(short.id));
  return h(
    Fragment,
    null,
    h(Summary, { story, run, further }),
    story.forbidden &&
      h(Notice, { status: "warning" }, "You may not read the XComs of this Dag, where it is said what Klap made."),
    !story.forbidden && story.shorts.length === 0 && !story.stage.fate && h(NoShorts, { story }),
    isAsked && h(Picker, { key: run.join(" "), story, run }),
    !isAsked && chosen.length > 0 && h(Chosen, { shorts: chosen, run, isWhole }),
    ...later.map((given) => h(Later, { key: given.dag_run_id, given, tellOf })),
    !isAsked && leftOut.length > 0 && h(LeftOut, { shorts: leftOut, run }),
  );
}

function Later({ given, tellOf }) {
  const { story, follow, run } = useRun(given.dag_id, given.dag_run_id);
  useEffect(() => tellOf(given.dag_run_id, story), [given.dag_run_id, story, tellOf]);
  return h(LaterRun, { given, story, follow, run });
}

function Chosen({ shorts, run, isWhole }) {
  const { title } = isWhole ? VIDEO : SHORTS;
  return h(
    Stack,
    { as: "section", "aria-label": title, gap: 2 },
    h(Heading, { as: "h2", size: "md" }, isWhole ? title : `${title} (${shorts.length})`),
    h(CardGrid, {
      shorts,
      draw: (short) => h(ShortCard, { key: short.id, short, run }),
      ...(isWhole ? { columns: "minmax(0, 36rem)" } : {}),
    }),
  );
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
