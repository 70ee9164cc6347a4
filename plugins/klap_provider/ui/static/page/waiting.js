/** What waits for a person: the reviews, by Airflow's own list of required actions. */
import { ApiError, get } from "../api.js";
import { Icon, h } from "../parts.js";
import { Pending, useAnswer } from "./hooks.js";
import { tabOf, waiting } from "./words.js";

const { useState } = globalThis.React;
const { Box, Button, Flex, Heading, Stack, Text } = globalThis.ChakraUI;
const { Link } = globalThis.ReactRouterDOM;

const MOST = 50;
const AT_FIRST = 3; // the videos below are to be seen, too
const EVERY = 15_000; // ms

async function questions(signal) {
  try {
    const query = { state: "awaiting_input", order_by: "created_at", limit: MOST };
    const answer = await get(["dags", "~", "dagRuns", "~", "hitlDetails"], query, signal);
    return answer.hitl_details.filter(({ task_instance: { operator } }) => operator === "ReviewShortsOperator");
  } catch (error) {
    if (error instanceof ApiError && error.status === 403) return []; // nothing waits for somebody who may not answer
    throw error;
  }
}

export function Waiting() {
  const asked = useAnswer(questions, "waiting", EVERY);
  const [isWhole, setWhole] = useState(false);
  const { answer } = asked;
  const shown = isWhole ? answer : answer?.slice(0, AT_FIRST);
  return h(
    Stack,
    { as: "section", "aria-label": "Waiting for you", gap: 2 },
    h(Heading, { as: "h2", size: "md" }, "Waiting for you", answer?.length > 0 && ` (${answer.length})`),
    h(Pending, asked),
    answer?.length === 0 && h(Text, { color: "fg.muted", fontSize: "sm" }, "Nothing."),
    answer?.length > 0 &&
      h(
        Stack,
        { as: "ul", gap: 2, role: "list" },
        ...shown.map((each) => h(Question, { key: each.task_instance.id, ...each })),
      ),
    shown?.length < answer?.length &&
      h(
        Button,
        { alignSelf: "start", onClick: () => setWhole(true), size: "xs", variant: "outline" },
        `Show all ${answer.length}`,
      ),
  );
}

function Question({ subject, created_at: at, task_instance: instance }) {
  const { dag_display_name: dag, dag_run_id: runId, dag_id, rendered_fields: fields } = instance;
  const video = fields?.source_video_url;
  const facts = [video, dag, waiting(at, fields?.response_timeout)].filter(Boolean).join(" · ");
  return h(
    Flex,
    { alignItems: "center", as: "li", bg: "awaiting_input.subtle", borderRadius: "md", gap: 3, p: 3 },
    h(
      Box,
      { flex: 1, minWidth: 0 },
      h(Text, { fontWeight: "semibold", wordBreak: "break-word" }, subject),
      h(Text, { fontSize: "sm", wordBreak: "break-word" }, facts),
    ),
    h(
      Button,
      { asChild: true, flexShrink: 0, size: "sm" },
      h(
        Link,
        { "aria-label": `Pick: ${subject} ${video ?? ""}`, to: tabOf({ dag_id, run_id: runId }) },
        h(Icon, { name: "awaiting_input" }),
        "Pick",
      ),
    ),
  );
}
