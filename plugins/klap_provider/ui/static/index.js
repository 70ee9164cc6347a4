/**
 * The Shorts tab of a run page: what Airflow loads.
 *
 * Airflow gives the page its own React, Chakra UI and router as globals, and takes the component from the global that
 * is named as the app in plugin.py. This module imports all others, so that the browser asks for them side by side.
 */
import { ApiError, get } from "./api.js";
import { LeftOutCard, ShortCard } from "./card.js";
import { Notice, h } from "./parts.js";
import { RunReader } from "./reader.js";
import { tell } from "./story.js";
import { NoShorts, Summary } from "./summary.js";
import { watch } from "./watch.js";
import { SHORTS, VIDEO } from "./words.js";

const { Fragment, Suspense, lazy, useDeferredValue, useEffect, useMemo, useState } = globalThis.React;
const { Button, Heading, SimpleGrid, Skeleton, Stack, Text } = globalThis.ChakraUI;

// For runs without a story: those of batches, and those that have nothing to do with Klap.
const BatchVideos = lazy(async () => ({ default: (await import("./page/batch.js")).BatchVideos }));

const FIRST = 8; // cards, about a screen of them

// Airflow mounts the component anew when it likes. The run that was looked at last is shown again at once.
let remembered = { dagId: null, runId: null, reader: null };

function readerOf(dagId, runId) {
  if (remembered.dagId !== dagId || remembered.runId !== runId) {
    remembered = { dagId, runId, reader: new RunReader(dagId, runId, get) };
  }
  return remembered.reader;
}

/** @param {{dagId: string, runId: string}} props */
function ShortsTab({ dagId, runId }) {
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

  const { answers, error } = seen;
  return h(
    Stack,
    // Airflow's page is never narrower than 1280 px, and scrolls sideways in a window that is: stay as wide as is seen.
    { gap: 4, maxWidth: { base: "calc(100vw - 5rem)", lg: "none" }, p: 2, pt: 4 },
    error && h(Problem, { error, retry: () => setAttempt(attempt + 1) }),
    answers
      ? h(StoryView, { story: tell(answers, new Date()), run: ["dags", dagId, "runs", runId] })
      : !error && h(Loading),
  );
}

function StoryView({ story, run }) {
  if (story === null) return h(Suspense, { fallback: null }, h(BatchVideos, { dagId: run[1], runId: run[3] }));
  const chosen = story.shorts.filter((short) => short.leftOut === null);
  const leftOut = story.shorts.filter((short) => short.leftOut !== null);
  const { isWhole } = story;
  const { title } = isWhole ? VIDEO : SHORTS;
  return h(
    Fragment,
    null,
    h(Summary, { story, run }),
    story.forbidden &&
      h(Notice, { status: "warning" }, "You may not read the XComs of this Dag, where it is said what Klap made."),
    !story.forbidden && story.shorts.length === 0 && h(NoShorts, { story }),
    chosen.length > 0 && h(Cards, { title, card: ShortCard, shorts: chosen, run, isWhole }),
    leftOut.length > 0 && h(Cards, { title: "Not selected", card: LeftOutCard, shorts: leftOut, run }),
  );
}

function Cards({ title, card, shorts, run, isWhole = false }) {
  // A hundred cards take a while to build: the first ones do not wait for the others.
  const shown = useDeferredValue(shorts, shorts.slice(0, FIRST));
  const columns = isWhole ? "minmax(0, 36rem)" : "repeat(auto-fill, minmax(min(100%, 24rem), 1fr))";
  const grid = { gap: 3, gridTemplateColumns: columns };
  return h(
    Stack,
    { as: "section", "aria-label": title, gap: 2 },
    h(Heading, { as: "h2", size: "md" }, isWhole ? title : `${title} (${shorts.length})`),
    h(SimpleGrid, { as: "ul", role: "list", ...grid }, ...shown.map((short) => h(card, { key: short.id, short, run }))),
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
