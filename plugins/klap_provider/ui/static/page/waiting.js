/** What waits for a person: the reviews that nobody has answered yet. */
import { getFromPlugin } from "../api.js";
import { Icon, h } from "../parts.js";
import { Pending, useAnswer } from "./hooks.js";
import { tabOf, waiting } from "./words.js";

const { useState } = globalThis.React;
const { Box, Button, Flex, Heading, Stack, Text } = globalThis.ChakraUI;
const { Link } = globalThis.ReactRouterDOM;

const AT_FIRST = 3; // the videos below are to be seen, too
/** A question may come at any time. */
const ALWAYS = ({ refresh }) => refresh || null;

const questions = (signal) => getFromPlugin(["api", "reviews"], {}, signal);

export function Waiting() {
  const asked = useAnswer(questions, "waiting", ALWAYS);
  const [isWhole, setWhole] = useState(false);
  const answer = asked.answer?.reviews;
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
        ...shown.map((each) => h(Question, { key: `${each.dag_id} ${each.run_id}`, ...each })),
      ),
    shown?.length < answer?.length &&
      h(
        Button,
        { alignSelf: "start", onClick: () => setWhole(true), size: "xs", variant: "outline" },
        `Show all ${answer.length}`,
      ),
  );
}

function Question({ subject, video, at, until, dag_id: dagId, run_id: runId }) {
  const facts = [video, dagId, waiting(at, until)].filter(Boolean).join(" · ");
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
        { "aria-label": `Pick: ${subject} ${video ?? ""}`, to: tabOf({ dag_id: dagId, run_id: runId }) },
        h(Icon, { name: "awaiting_input" }),
        "Pick",
      ),
    ),
  );
}
