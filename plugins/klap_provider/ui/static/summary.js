/** The summary of a run, above the cards. */
import { ActionButton, repeat, TabContext } from "./actions.js";
import { Bar, h, Icon, PageLink, SmallButton, State, TaskButton } from "./components.js";
import { ResolveRequest } from "./in-doubt.js";
import { Notice } from "./messages.js";
import { costPath, costText, SHORTS, stageText, submissionPriceText, timeText, VIDEO } from "./texts.js";

const { useContext, useEffect, useRef, useState } = globalThis.React;
const { Box, EmptyStateContent, EmptyStateDescription, EmptyStateIndicator, EmptyStateRoot, EmptyStateTitle } =
  globalThis.ChakraUI;
const { Flex, HStack, Heading, Link, Stack, Text } = globalThis.ChakraUI;

/**
 * The video, the totals, the current stage.
 *
 * @param {{details: Details, run: string[], further: Details[]}} props `run`: the run's path in the UI, as segments;
 *   `further`: the details of its follow-up runs
 */
export function Summary({ details, run, further }) {
  const { name, source, stage, percent, totals, cost, review } = details;
  const text = stageText(stage, useNow(stage.since !== null));
  const { hasAnswered } = useContext(TabContext);
  return h(
    Stack,
    { as: "section", "aria-label": "Summary", gap: 3, ref: useInSight(details.question !== null) },
    details.is_named && h(Heading, { as: "h2", dir: "auto", size: "md", wordBreak: "break-word" }, name),
    h(
      Flex,
      { flexWrap: "wrap", gap: 5, justifyContent: "space-between" },
      source && h(Fact, { label: "Video", flex: "1 1 16rem" }, h(Source, { source })),
      ...totals.map(({ label, value }) => h(Fact, { key: label, label }, value)),
      cost &&
        h(
          Fact,
          { label: cost.is_sum ? "Cost" : "Cost without exports" },
          h(CostLink, { cost, atMost: details.cost_at_most, run }),
        ),
      further.length > 0 && h(Fact, { label: "Including further exports" }, furtherText([details, ...further])),
      review && h(Fact, { label: "Review" }, reviewText(review, hasAnswered)),
    ),
    h(
      HStack,
      { flexWrap: "wrap", gap: 2 },
      h(State, { state: stage.state }),
      h(Text, { "aria-live": "polite", fontWeight: "semibold" }, text),
      stage.review_task &&
        (details.question === null || details.shorts.length === 0) && // otherwise the review is below
        h(TaskButton, { run, task: stage.review_task, page: "/required_actions", icon: "awaiting_input" }, "Review"),
      stage.log && h(TaskButton, { run, task: stage.log, icon: "log", label: `Log of ${stage.log.task_id}` }, "Log"),
    ),
    h(
      Flex,
      null,
      h(Bar, {
        role: "progressbar",
        label: "Progress of the run",
        percent,
        text,
        color: `${stage.state ?? "none"}.solid`,
      }),
    ),
    stage.in_doubt && h(ResolveRequest, { doubt: stage.in_doubt, error: stage.error, what: "task", run }),
    stage.error && !stage.in_doubt && h(Notice, { status: "error" }, stage.error),
    details.ended &&
      h(
        HStack,
        { alignItems: "start", flexWrap: "wrap", gap: 2 },
        details.next_step && !details.next_step.needs_change && h(RepeatStep, { step: details.next_step, run }),
        !stage.in_doubt && h(RunAgain), // it would submit the video again
        details.next_step?.needs_change && h(RepeatStep, { step: details.next_step, run }),
      ),
  );
}

const MINUTE = 60_000; // ms

/** The current time, updated every minute while `isNeeded`. */
function useNow(/** @type {boolean} */ isNeeded) {
  const [now, setNow] = useState(() => new Date());
  useEffect(() => {
    if (!isNeeded) return undefined;
    setNow(new Date());
    const timer = setInterval(() => setNow(new Date()), MINUTE);
    return () => clearInterval(timer);
  }, [isNeeded]);
  return now;
}

/** Return who selected the shorts, how many, and when. */
function reviewText(/** @type {NonNullable<Details["review"]>} */ { by, text, at }, /** @type {boolean} */ isYou) {
  return `${isYou ? "You" : by} ${text}${at ? ` · ${timeText(at)}` : ""}`;
}

/** The cost of a run, with a link to its paid requests. */
function CostLink(/** @type {{cost: Cost, atMost: number | null, run: string[]}} */ { cost, atMost, run }) {
  const [, dag_id, , run_id] = run;
  const text = atMost === null ? costText(cost) : `${costText({ ...cost, total: atMost })} at most`;
  return h(PageLink, { label: `${text}: paid requests of this run`, to: costPath({ dag_id, run_id }) }, text);
}

/** Scroll to the summary when the review is answered: it shows who selected what. */
function useInSight(/** @type {boolean} */ isAsked) {
  const summary = useRef(/** @type {any} */ (null));
  const wasAsked = useRef(false);
  useEffect(() => {
    if (wasAsked.current && !isAsked) summary.current.scrollIntoView({ block: "start" });
    wasAsked.current = isAsked;
  }, [isAsked]);
  return summary;
}

/** Return how many shorts all of these runs delivered, and what they cost once all have summed up their cost. */
function furtherText(/** @type {Details[]} */ runs) {
  const delivered = `${runs.reduce((sum, run) => sum + run.delivered, 0)} delivered`;
  const costs = runs.flatMap(({ cost }) => (cost?.is_sum ? [cost] : []));
  if (costs.length < runs.length) return delivered;
  const total = costs.reduce((sum, cost) => sum + cost.total, 0);
  return `${delivered} · ${costText({ total, estimated: costs.some(({ estimated }) => estimated) })}`;
}

/** Repeats the step with which a run failed. */
export function RepeatStep(/** @type {{step: NextStep, run: string[]}} */ { step, run }) {
  const { details } = useContext(TabContext);
  const price = submissionPriceText(step, details.is_whole);
  const pays = step.is_paid ? { ...step, again: step.is_again, text: price } : null;
  const label = step.is_again ? "Submit the video again" : "Try again";
  return h(
    ActionButton,
    { action: "clear", pays, work: () => repeat(run, step) },
    `${label} · ${pays ? price : "free"}`,
  );
}

/**
 * @returns {HTMLElement | null}
 * @param {string} selector
 */
const clickable = (selector) => document.querySelector(selector);

/** Opens Airflow's own trigger form with the settings of this run, which has no address of its own. */
function RunAgain() {
  const [isMissing, setMissing] = useState(false);
  const open = async () => {
    clickable("[data-testid=trigger-dag-button]")?.click();
    for (let attempt = 0; attempt < 20; attempt += 1) {
      await new Promise((done) => setTimeout(done, 50)); // until the menu is open
      const item = clickable("[role=menuitem][data-value=triggerWithConfig]");
      if (item) return item.click();
    }
    return setMissing(true);
  };
  return h(
    Box,
    null,
    h(SmallButton, { onClick: open }, "Run again with changes"),
    isMissing &&
      h(
        Text,
        { fontSize: "sm", role: "alert" },
        "Press Trigger at the top of this page, then Trigger again with this config.",
      ),
  );
}

/** @param {{label: string, children?: any, flex?: string}} props */
function Fact({ label, children, ...more }) {
  return h(
    Box,
    { minWidth: 0, ...more },
    h(Text, { color: "fg.muted", fontSize: "xs", fontWeight: "bold" }, label),
    h(Box, { fontSize: "sm" }, children),
  );
}

/** @param {{source: NonNullable<Details["source"]>}} props */
function Source({ source: { text, href } }) {
  if (href === null) return h(Text, { wordBreak: "break-all" }, text);
  return h(
    Link,
    { color: "fg.info", href, rel: "noopener noreferrer", target: "_blank", wordBreak: "break-all" },
    text,
  );
}

/** The placeholder while there are no cards. */
export function NoShorts(/** @type {{details: Details}} */ { details }) {
  const texts = details.is_whole ? VIDEO : SHORTS;
  const [title, description] = details.ended ? texts.ended : texts.pending;
  const patience = details.ended ? "" : "Klap takes 2 to 30 minutes for a video. ";
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
