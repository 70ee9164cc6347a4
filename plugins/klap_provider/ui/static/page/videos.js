/** All runs, newest first. */
import { getFromPlugin } from "../api.js";
import { Icon, State, h } from "../components.js";
import { timeText } from "../texts.js";
import { BatchOfRun } from "./batch.js";
import { Pending, useAnswer, useLimit } from "./hooks.js";
import { NUMBER, PriceNote, RunCost, Small, TIME, Table, TwoLines } from "./table.js";
import { shortsText, tabPath } from "./texts.js";

const { Fragment, useState } = globalThis.React;
const { Box, Flex, IconButton, Stack, TableCell, TableRow, Text } = globalThis.ChakraUI;
const { Link } = globalThis.ReactRouterDOM;

/** Runs start and end at any time. */
const ALWAYS = ({ refresh }) => refresh || null;

export function Videos() {
  const [limit, more] = useLimit();
  const seen = useAnswer((signal) => getFromPlugin(["api", "videos"], { limit }, signal), String(limit), ALWAYS);
  const { answer, isStale } = seen;
  if (answer === null) return h(Pending, seen);
  return h(
    Stack,
    { gap: 3 },
    seen.error && h(Pending, seen),
    answer.videos.length === 0
      ? h(Nothing, { dagIds: answer.dag_ids })
      : h(
          Table,
          { label: "Videos", heads: HEADS },
          answer.videos.map((video) => h(VideoRow, { key: `${video.dag_id} ${video.run_id}`, video })),
        ),
    more(!answer.more, isStale),
    h(PriceNote, { rows: answer.videos }),
  );
}

/** The text for a page without runs: the missing permission, or the Dags to trigger. */
function Nothing({ dagIds }) {
  if (dagIds.length === 0) {
    const text = "You need the permission to read XComs of a Klap Dag to see its runs.";
    return h(Text, { color: "fg.muted" }, text);
  }
  const link = (dagId) => h(Link, { key: dagId, to: `/dags/${encodeURIComponent(dagId)}` }, dagId);
  return h(
    Stack,
    { gap: 2 },
    h(Text, { color: "fg.muted" }, "No videos yet. Open one of these Dags and press Trigger:"),
    h(Flex, { color: "fg.info", columnGap: 4, flexWrap: "wrap" }, ...dagIds.map(link)),
  );
}

const HEADS = [["Video"], ["State"], ["Shorts", NUMBER], ["Best score", NUMBER], ["Cost", NUMBER], ["Started"]];

function VideoRow({ video }) {
  const [isOpen, setOpen] = useState(false);
  return h(
    Fragment,
    null,
    h(
      TableRow,
      null,
      h(
        TableCell,
        { minWidth: "10rem", whiteSpace: "normal" },
        h(VideoName, { video, isOpen, toggle: () => setOpen(!isOpen) }),
      ),
      h(TableCell, null, h(State, { state: video.state })),
      h(TableCell, NUMBER, shortsText(video)),
      h(TableCell, NUMBER, video.best ?? "–"),
      h(TableCell, NUMBER, h(RunCost, { run: video, name: video.name })),
      h(
        TableCell,
        TIME,
        h(Text, { fontSize: "sm" }, timeText(video.at)),
        video.by && h(Small, null, `by ${video.by}`),
      ),
    ),
    isOpen &&
      h(
        TableRow,
        null,
        // No wider than the other rows, whatever it contains.
        h(
          TableCell,
          { bg: "bg.subtle", colSpan: 6, maxWidth: 0, whiteSpace: "normal" },
          h(BatchOfRun, { dagId: video.dag_id, runId: video.run_id }),
        ),
      ),
  );
}

function VideoName({ video, isOpen, toggle }) {
  return h(
    Box,
    { alignItems: "center", display: "flex", gap: 2, minWidth: 0 },
    video.batch > 0 &&
      h(
        IconButton,
        {
          "aria-expanded": isOpen,
          "aria-label": `Videos of ${video.name}`,
          onClick: toggle,
          size: "2xs",
          variant: "outline",
        },
        h(Icon, { name: isOpen ? "open" : "closed" }),
      ),
    h(
      Box,
      { minWidth: 0 },
      h(Box, { color: "fg.info" }, h(Link, { to: tabPath(video) }, h(TwoLines, null, video.name))),
      h(Small, null, [video.note !== video.name && video.note, video.dag_id].filter(Boolean).join(" · ")),
    ),
  );
}
