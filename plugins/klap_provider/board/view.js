/** The Shorts tab. */
import { ApiError, get } from "./api.js";
import { LeftOutCard, ShortCard } from "./card.js";
import { Bar, Icon, StateBadge, TaskButton, h } from "./parts.js";
import { RunReader } from "./reader.js";
import { tell } from "./story.js";
import { watch } from "./watch.js";

const { Fragment, useEffect, useMemo, useState } = globalThis.React;
const { AlertContent, AlertIndicator, AlertRoot, Box, Button, EmptyStateContent, EmptyStateDescription, EmptyStateIndicator } =
  globalThis.ChakraUI;
const { EmptyStateRoot, EmptyStateTitle, Flex, Heading, HStack, Link, SimpleGrid, Skeleton, Stack, Text } = globalThis.ChakraUI;

// Airflow mounts the component anew when it likes. The run that was looked at last is shown again at once.
let remembered = { dagId: null, runId: null, reader: null };

function readerOf(dagId, runId) {
  if (remembered.dagId !== dagId || remembered.runId !== runId) {
    remembered = { dagId, runId, reader: new RunReader(dagId, runId, get) };
  }
  return remembered.reader;
}

/**
 * The component that Airflow shows as the tab.
 *
 * @param {{dagId: string, runId: string}} props
 */
export function ShortsTab({ dagId, runId }) {
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
    { gap: 4, p: 2, pt: 4 },
    error && h(Problem, { error, retry: () => setAttempt(attempt + 1) }),
    answers ? h(StoryView, { story: tell(answers, new Date()), run: ["dags", dagId, "runs", runId] }) : !error && h(Loading),
  );
}

function StoryView({ story, run }) {
  if (story === null) return h(Text, { color: "fg.muted" }, "No task of this run works with Klap.");
  const chosen = story.shorts.filter((short) => short.leftOut === null);
  const leftOut = story.shorts.filter((short) => short.leftOut !== null);
  return h(
    Fragment,
    null,
    h(Summary, { story, run }),
    story.forbidden && h(Notice, { status: "warning" }, "You may not read the XComs of this Dag, where the shorts are described."),
    !story.forbidden && story.shorts.length === 0 && h(NoShorts, { story }),
    chosen.length > 0 && h(Cards, { title: "Shorts", card: ShortCard, shorts: chosen, run }),
    leftOut.length > 0 && h(Cards, { title: "Not exported", card: LeftOutCard, shorts: leftOut, run }),
  );
}

function Summary({ story, run }) {
  const { source, stage, percent, totals, review } = story;
  return h(
    Stack,
    { as: "section", "aria-label": "Summary", gap: 3 },
    h(
      Flex,
      { flexWrap: "wrap", gap: 5, justifyContent: "space-between" },
      source && h(Fact, { label: "Source Video", flex: "1 1 16rem" }, h(Source, { source })),
      ...totals.map(({ label, value }) => h(Fact, { key: label, label }, value)),
      review && h(Fact, { label: "Review" }, review),
    ),
    h(
      HStack,
      { flexWrap: "wrap", gap: 2 },
      h(StateBadge, { state: stage.state }),
      h(Text, { "aria-live": "polite", fontWeight: "semibold" }, stage.words),
      stage.question && h(TaskButton, { run, place: stage.question, page: "/required_actions", icon: "awaiting_input" }, "Answer"),
      stage.log && h(TaskButton, { run, place: stage.log, icon: "log", label: `Log of ${stage.log.taskId}` }, "Log"),
    ),
    h(Flex, null, h(Bar, { role: "progressbar", label: "Progress of the run", percent, text: stage.words, color: `${stage.state ?? "none"}.solid` })),
    stage.error && h(Notice, { status: "error" }, stage.error),
  );
}

function Fact({ label, children, ...more }) {
  return h(
    Box,
    { minWidth: 0, ...more },
    h(Text, { color: "fg.muted", fontSize: "xs", fontWeight: "bold" }, label),
    h(Box, { fontSize: "sm" }, children),
  );
}

function Source({ source: { text, href } }) {
  if (href === null) return h(Text, { wordBreak: "break-all" }, text);
  return h(Link, { color: "fg.info", href, rel: "noopener noreferrer", target: "_blank", wordBreak: "break-all" }, text);
}

function Cards({ title, card, shorts, run }) {
  const grid = { gap: 3, gridTemplateColumns: "repeat(auto-fill, minmax(min(100%, 24rem), 1fr))" };
  return h(
    Stack,
    { as: "section", "aria-label": title, gap: 2 },
    h(Heading, { as: "h2", size: "md" }, `${title} (${shorts.length})`),
    h(SimpleGrid, { as: "ul", role: "list", ...grid }, ...shorts.map((short) => h(card, { key: short.id, short, run }))),
  );
}

function NoShorts({ story }) {
  const [title, description] = story.ended
    ? ["No shorts", "The run has ended without any."]
    : ["No shorts yet", "Klap takes some minutes for a video, more for a long one. They show up here by themselves."];
  return h(
    EmptyStateRoot,
    null,
    h(
      EmptyStateContent,
      null,
      h(EmptyStateIndicator, null, h(Icon, { name: "short" })),
      h(EmptyStateTitle, null, title),
      h(EmptyStateDescription, null, description),
    ),
  );
}

function Problem({ error, retry }) {
  return h(Notice, { status: "error" }, problemWords(error), " ", h(Button, { onClick: retry, size: "xs", variant: "outline" }, "Retry"));
}

function problemWords(error) {
  if (!(error instanceof ApiError)) return `Airflow did not answer (${error.message}).`;
  if (error.status === 401) return "Your session has ended: sign in again.";
  if (error.status === 403) return "You may not see the task instances of this run.";
  return `Airflow answered ${error.status}: ${error.message}.`;
}

function Notice({ status, children }) {
  return h(AlertRoot, { status }, h(AlertIndicator), h(AlertContent, { display: "block", wordBreak: "break-word" }, children));
}

function Loading() {
  const lines = ["40%", "100%", "100%"].map((width, line) => h(Skeleton, { key: line, height: line < 2 ? 5 : 56, width }));
  return h(Stack, { "aria-busy": true, "aria-label": "Loading", gap: 3, role: "status" }, ...lines);
}
