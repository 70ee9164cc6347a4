/** What is said of the run as a whole, above the cards. */
import { ActButton, Acting, clear } from "./acting.js";
import { Decide } from "./decide.js";
import { Bar, Icon, Notice, State, TaskButton, h } from "./parts.js";
import { SHORTS, VIDEO, costOf, costWords, momentWords, priceWords, stageWords } from "./words.js";

const { useContext, useEffect, useRef, useState } = globalThis.React;
const { Box, EmptyStateContent, EmptyStateDescription, EmptyStateIndicator, EmptyStateRoot, EmptyStateTitle } =
  globalThis.ChakraUI;
const { Flex, HStack, Heading, Link, Stack, Text } = globalThis.ChakraUI;
const { Link: RouterLink } = globalThis.ReactRouterDOM;

/**
 * Source, totals, where the run stands.
 *
 * @param {{story: object, run: string[], further: object[]}} props the `run`'s address, in parts; `further`: the stories
 *   of its follow-up runs
 */
export function Summary({ story, run, further }) {
  const { name, source, stage, percent, totals, cost, review, again } = story;
  const words = stageWords(stage, useNow(stage.since !== null));
  const { hasAnswered } = useContext(Acting);
  return h(
    Stack,
    { as: "section", "aria-label": "Summary", gap: 3, ref: useInSight(story.question !== null) },
    story.is_named &&
      h(Heading, { as: "h2", dir: "auto", size: "md", wordBreak: "break-word" }, name),
    h(
      Flex,
      { flexWrap: "wrap", gap: 5, justifyContent: "space-between" },
      source && h(Fact, { label: "Source Video", flex: "1 1 16rem" }, h(Source, { source })),
      ...totals.map(({ label, value }) => h(Fact, { key: label, label }, value)),
      cost && h(Fact, { label: cost.is_sum ? "Cost" : "Cost before exports" }, h(CostLink, { cost, run })),
      further.length > 0 && h(Fact, { label: "With further exports" }, furtherWords([story, ...further])),
      review && h(Fact, { label: "Review" }, reviewWords(review, hasAnswered)),
    ),
    h(
      HStack,
      { flexWrap: "wrap", gap: 2 },
      h(State, { state: stage.state }),
      h(Text, { "aria-live": "polite", fontWeight: "semibold" }, words),
      stage.asks &&
        (story.question === null || story.shorts.length === 0) && // or they are asked about below
        h(TaskButton, { run, place: stage.asks, page: "/required_actions", icon: "awaiting_input" }, "Answer"),
      stage.log && h(TaskButton, { run, place: stage.log, icon: "log", label: `Log of ${stage.log.task_id}` }, "Log"),
    ),
    h(
      Flex,
      null,
      h(Bar, {
        role: "progressbar",
        label: "Progress of the run",
        percent,
        text: words,
        color: `${stage.state ?? "none"}.solid`,
      }),
    ),
    stage.in_doubt && h(Decide, { doubt: stage.in_doubt, error: stage.error, what: "task", run }),
    stage.error && !stage.in_doubt && h(Notice, { status: "error" }, stage.error),
    again && h(SendAgain, { again, run }),
  );
}

const MINUTE = 60_000; // ms

/** The time, which goes on by itself while that matters. */
function useNow(isNeeded) {
  const [now, setNow] = useState(() => new Date());
  useEffect(() => {
    if (!isNeeded) return undefined;
    setNow(new Date());
    const timer = setInterval(() => setNow(new Date()), MINUTE);
    return () => clearInterval(timer);
  }, [isNeeded]);
  return now;
}

/** Who has selected what, and when. */
function reviewWords({ by, words, at }, isYou) {
  return `${isYou ? "You" : by} ${words}${at ? ` · ${momentWords(at)}` : ""}`;
}

/** What a run has paid, which leads to what for. */
function CostLink({ cost, run: [, dag_id, , run_id] }) {
  const link = { "aria-label": `${costWords(cost)}, request by request`, to: costOf({ dag_id, run_id }) };
  return h(Box, { as: "span", color: "fg.info" }, h(RouterLink, link, costWords(cost)));
}

/** What to show once a question is answered: who has picked what is said at the top. */
function useInSight(isAsked) {
  const summary = useRef(null);
  const wasAsked = useRef(false);
  useEffect(() => {
    if (wasAsked.current && !isAsked) summary.current.scrollIntoView({ block: "start" });
    wasAsked.current = isAsked;
  }, [isAsked]);
  return summary;
}

/** What all of these runs have delivered and paid, as far as that is known. */
function furtherWords(stories) {
  const delivered = `${stories.reduce((sum, story) => sum + story.delivered, 0)} delivered`;
  const costs = stories.map(({ cost }) => cost);
  if (!costs.every((cost) => cost?.is_sum)) return delivered; // until all have summed themselves up
  const total = costs.reduce((sum, cost) => sum + cost.total, 0);
  return `${delivered} · ${costWords({ total, estimated: costs.some(({ estimated }) => estimated) })}`;
}

function SendAgain({ again, run }) {
  const { follow } = useContext(Acting);
  const price = ` · ${priceWords(again)}`;
  const work = async () => {
    await clear(run, [again.place]);
    follow();
  };
  return h(ActButton, { act: "clear", work }, `Send the same video again${price}`);
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
  return h(
    Link,
    { color: "fg.info", href, rel: "noopener noreferrer", target: "_blank", wordBreak: "break-all" },
    text,
  );
}

/** What is shown in place of cards. */
export function NoShorts({ story }) {
  const words = story.is_whole ? VIDEO : SHORTS;
  const [title, description] = story.ended ? words.ended : words.pending;
  const patience = story.ended ? "" : "Klap takes some minutes for a video, more for a long one. ";
  return h(
    EmptyStateRoot,
    null,
    h(
      EmptyStateContent,
      null,
      h(EmptyStateIndicator, null, h(Icon, { name: "short" })),
      h(EmptyStateTitle, null, title),
      h(EmptyStateDescription, null, patience + description),
    ),
  );
}
