/** The open reviews; nothing if there are none. */
import { getFromPlugin } from "../api.js";
import { h, Icon, SmallButton } from "../components.js";
import { ALWAYS, Pending, useResponse } from "./hooks.js";
import { tabPath, waiting } from "./texts.js";

const { useState } = globalThis.React;
const { Box, Button, Flex, Heading, Stack, Text } = globalThis.ChakraUI;
const { Link } = globalThis.ReactRouterDOM;

const AT_FIRST = 3; // so that the videos below are visible, too

/** @type {(signal: AbortSignal) => Promise<Reviews>} */
const load = (signal) => getFromPlugin(["api", "reviews"], {}, signal);

export function OpenReviews() {
  const seen = useResponse(load, "reviews", ALWAYS);
  const reviews = seen.response?.reviews ?? [];
  const [isWhole, setWhole] = useState(false);
  const shown = isWhole ? reviews : reviews.slice(0, AT_FIRST);
  if (reviews.length === 0 && !seen.error) return null;
  return h(
    Stack,
    { as: "section", "aria-label": "Waiting for you", gap: 2 },
    h(Heading, { as: "h2", size: "md" }, "Waiting for you", reviews.length > 0 && ` (${reviews.length})`),
    h(Pending, seen),
    reviews.length > 0 &&
      h(
        Stack,
        { as: "ul", gap: 2, role: "list" },
        ...shown.map((each) => h(ReviewLine, { key: `${each.dag_id} ${each.run_id}`, ...each })),
      ),
    shown.length < reviews.length &&
      h(SmallButton, { alignSelf: "start", onClick: () => setWhole(true) }, `Show all ${reviews.length}`),
  );
}

/** @param {OpenReview} review */
function ReviewLine({ subject, video, at, until, dag_id: dagId, run_id: runId }) {
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
        { "aria-label": `Review: ${subject} ${video ?? ""}`, to: tabPath({ dag_id: dagId, run_id: runId }) },
        h(Icon, { name: "awaiting_input" }),
        "Review",
      ),
    ),
  );
}
