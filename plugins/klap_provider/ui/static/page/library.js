/** All delivered shorts of all runs, those of deleted runs, too. */
import { getFromPlugin } from "../api.js";
import { useNear } from "../card.js";
import { Bar, Icon, OutsideButton, h } from "../parts.js";
import { StoredTexts, Video, videoOf } from "../stored.js";
import { fileSize, momentWords } from "../words.js";
import { Choice, DagChoice, Search } from "./filters.js";
import { Pending, useAnswer } from "./hooks.js";
import { Short } from "./table.js";
import { PERIODS, SECOND_HAND, daysOf, found, price, tabOf } from "./words.js";

const { useDeferredValue, useState } = globalThis.React;
const { Box, Button, Flex, Heading, HStack, SimpleGrid, Stack, Text } = globalThis.ChakraUI;
const { Link } = globalThis.ReactRouterDOM;

const PAGE = 24;
const ORDERS = {
  "-score": "Best score first",
  "-at": "Newest first",
  at: "Oldest first",
  name: "By name",
  video: "By video",
  dag_id: "By Dag",
};

export function Library() {
  const [asked, setAsked] = useState({ search: "", order_by: "-score", dag_id: "", period: "all", limit: PAGE });
  const query = useDeferredValue(asked);
  const load = (signal) => {
    const { dag_id, period, ...others } = query;
    const which = { ...others, ...(dag_id && { dag_id }), ...daysOf(period, new Date()) };
    const offsets = Array.from({ length: query.limit / PAGE }, (_, page) => page * PAGE);
    const read = (offset) => getFromPlugin(["api", "shorts"], { ...which, limit: PAGE, offset }, signal);
    return Promise.all(offsets.map(read)).then((answers) => ({
      ...answers[0],
      shorts: answers.flatMap(({ shorts }) => shorts),
    }));
  };
  const seen = useAnswer(load, JSON.stringify(query));
  const { answer, isStale } = seen;
  const change = (more) => setAsked({ ...asked, limit: PAGE, ...more });
  return h(
    Stack,
    { gap: 4 },
    h(Filters, { asked, change, dagIds: answer?.dag_ids ?? [] }),
    h(Pending, seen),
    answer &&
      h(
        Box,
        { fontSize: "sm" },
        h(Text, { "aria-live": "polite", fontWeight: "semibold" }, found(answer, "short")),
        h(Text, { color: "fg.muted" }, about(answer)),
      ),
    answer &&
      h(
        SimpleGrid,
        {
          "aria-busy": isStale,
          alignItems: "start",
          as: "ul",
          gap: 3,
          gridTemplateColumns: "repeat(auto-fill, minmax(min(100%, 22rem), 1fr))",
          role: "list",
        },
        ...answer.shorts.map((short) => h(Card, { key: `${short.dag_id} ${short.run_id} ${short.id}`, short })),
      ),
    answer?.shorts.length < answer?.total &&
      h(
        Button,
        {
          alignSelf: "center",
          loading: isStale,
          onClick: () => change({ limit: asked.limit + PAGE }),
          variant: "outline",
        },
        "More",
      ),
  );
}

/** What is not in the sum. */
const about = ({ estimated }) =>
  "Exports only: the videos, and the shorts that Klap made of them, cost, too; see Cost." +
  (estimated ? ` ${SECOND_HAND}` : "");

function Filters({ asked, change, dagIds }) {
  return h(
    Flex,
    { flexWrap: "wrap", gap: 2 },
    h(Search, {
      label: "Search shorts",
      placeholder: "Name, video, run or Dag",
      value: asked.search,
      change: (search) => change({ search }),
    }),
    h(Choice, {
      label: "Time",
      value: asked.period,
      options: Object.entries(PERIODS),
      choose: (period) => change({ period }),
    }),
    h(Choice, {
      label: "Sort by",
      value: asked.order_by,
      options: Object.entries(ORDERS),
      choose: (order_by) => change({ order_by }),
    }),
    h(DagChoice, { dagIds, value: asked.dag_id, choose: (dag_id) => change({ dag_id }) }),
  );
}

function Card({ short }) {
  const run = ["dags", short.dag_id, "runs", short.run_id];
  const video = { ...short, stored: true, video: null };
  return h(
    Flex,
    { as: "li", borderColor: "border.emphasized", borderRadius: 8, borderWidth: 1, minWidth: 0, overflow: "hidden" },
    h(Frame, { name: short.name, src: videoOf(run, video) }),
    h(
      Flex,
      { direction: "column", flex: 1, gap: 2, minWidth: 0, p: 3 },
      h(Heading, { as: "h3", dir: "auto", size: "sm", wordBreak: "break-word" }, short.name),
      h(Score, { short }),
      h(
        Box,
        { color: "fg.muted", fontSize: "xs" },
        short.run_name &&
          !short.video?.endsWith(short.run_name) &&
          h(Box, { color: "fg" }, h(Short, null, short.run_name)),
        short.video && h(Box, null, h(Short, null, short.video)),
        short.settings && h(Box, null, `With ${short.settings}`),
        h(Box, null, `${momentWords(short.at)} · ${fileSize(short.size)} · ${price(short)}`),
      ),
      h(Box, { flex: 1 }),
      h(
        HStack,
        { flexWrap: "wrap", gap: 2 },
        h(
          OutsideButton,
          { href: videoOf(run, video, { download: 1 }), icon: "download", label: `Download ${short.name}` },
          "Download",
        ),
        short.run_name !== null &&
          h(
            Button,
            { asChild: true, size: "xs", variant: "outline" },
            h(Link, { "aria-label": `Run of ${short.name}`, to: tabOf(short) }, h(Icon, { name: "short" }), "Run"),
          ),
      ),
      h(StoredTexts, { short, run }),
    ),
  );
}

function Frame({ name, src }) {
  const [box, isNear] = useNear();
  const frame = {
    alignSelf: "flex-start",
    aspectRatio: 9 / 16,
    bg: "black",
    flexShrink: 0,
    position: "relative",
    width: { base: "28", sm: "32" },
  };
  return h(Box, { ref: box, ...frame }, isNear && h(Video, { name, src }));
}

function Score({ short: { name, score } }) {
  if (score === null) return h(Text, { color: "fg.muted", fontSize: "sm" }, "No virality score");
  return h(
    HStack,
    { fontSize: "sm", gap: 2 },
    h(Bar, { role: "meter", label: `Virality score of ${name}`, percent: score, color: "brand.solid" }),
    h(Text, { fontWeight: "bold", minWidth: "3ch", textAlign: "end" }, score),
  );
}
