/** All runs, newest first. */
import { getFromPlugin } from "../api.js";
import { Choice, h, Icon, PageLink, State } from "../components.js";
import { ErrorBoundary } from "../messages.js";
import { stateName, timeText } from "../texts.js";
import { useAddress } from "./address.js";
import { BatchOfRun } from "./batch.js";
import { NothingFound, Search, SortChoice } from "./filters.js";
import { ALWAYS, Pending, useLimit, useResponse } from "./hooks.js";
import { NUMBER, PriceNote, RunCost, Small, Table, TIME, TwoLines } from "./table.js";
import { oneOf, searchText, shortsText, tabPath, withoutEmpty } from "./texts.js";

const { Fragment, useState } = globalThis.React;
const { Box, Flex, IconButton, Stack, TableCell, TableRow, Text } = globalThis.ChakraUI;

const STATES = ["queued", "running", "awaiting_input", "success", "failed"];
const ORDERS = { "-at": "Newest first", at: "Oldest first", name: "By name", "-cost": "Highest cost first" };

export function Videos() {
  const [{ search = "", state: given, sort }, change] = useAddress();
  const state = STATES.includes(given) ? given : "";
  const order_by = oneOf(ORDERS, sort);
  const [limit, more] = useLimit();
  const query = withoutEmpty({ limit, order_by, search, state });
  /** @type {(signal: AbortSignal) => Promise<Videos>} */
  const load = (signal) => getFromPlugin(["api", "videos"], query, signal);
  const seen = useResponse(load, JSON.stringify(query), ALWAYS);
  const { response, isStale } = seen;
  return h(
    Stack,
    { gap: 3 },
    h(Filters, { search, state, order_by, change }),
    h(Pending, seen),
    response && h(ErrorBoundary, null, h(Found, { response, isStale, search, state, change })),
    response && more(!response.more, isStale),
    response && h(PriceNote, { rows: response.videos }),
  );
}

/** @param {{search: string, state: string, order_by: string, change: import("./address.js").Change}} props */
function Filters({ search, state, order_by, change }) {
  return h(
    Flex,
    { flexWrap: "wrap", gap: 2 },
    h(Search, { label: "Search videos", placeholder: "Name, address, note or Dag", value: search }),
    h(Choice, {
      label: "State",
      value: state,
      options: [["", "All states"], ...STATES.map((each) => [each, stateName(each)])],
      choose: (chosen) => change({ state: chosen, rows: null }),
    }),
    h(SortChoice, { orders: ORDERS, value: order_by }),
  );
}

/** @param {{response: Videos, isStale: boolean, search: string, state: string, change: import("./address.js").Change}} props */
function Found({ response, isStale, search, state, change }) {
  if (response.videos.length > 0) {
    const rows = response.videos.map((video) => h(VideoRow, { key: `${video.dag_id} ${video.run_id}`, video }));
    return h(
      Stack,
      { gap: 1 },
      response.searched !== null && h(Small, null, `Of the newest ${response.searched} runs.`),
      h(Table, { "aria-busy": isStale, label: "Videos", heads: HEADS }, rows),
    );
  }
  if (!search && !state) return h(Nothing, { dagIds: response.dag_ids });
  const text = `No video ${searchText({ search, state })} is among the newest ${response.searched} runs.`;
  return h(NothingFound, { text, wider: [["Remove the filters", () => change({ search: null, state: null })]] });
}

/** The text for a page without runs: the missing permission, or the Dags to trigger. */
function Nothing(/** @type {{dagIds: string[]}} */ { dagIds }) {
  if (dagIds.length === 0) {
    const text = "You need the permission to read XComs of a Klap Dag to see its runs. Ask an administrator.";
    return h(Text, { color: "fg.muted" }, text);
  }
  const link = (/** @type {string} */ dagId) =>
    h(PageLink, { key: dagId, to: `/dags/${encodeURIComponent(dagId)}` }, dagId);
  return h(
    Stack,
    { gap: 2 },
    h(Text, { color: "fg.muted" }, "No videos yet. Open one of these Dags and press Trigger:"),
    h(Flex, { columnGap: 4, flexWrap: "wrap" }, ...dagIds.map(link)),
  );
}

const HEADS = [["Video"], ["State"], ["Shorts", NUMBER], ["Best score", NUMBER], ["Cost", NUMBER], ["Started"]];

/** @param {{video: VideoRun}} props */
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
      h(TableCell, TIME, h(Text, { fontSize: "sm" }, timeText(video.at)), video.by && h(Small, null, `by ${video.by}`)),
    ),
    isOpen &&
      h(
        TableRow,
        null,
        // No wider than the other rows, whatever it contains.
        h(
          TableCell,
          { bg: "bg.subtle", colSpan: 6, maxWidth: 0, whiteSpace: "normal" },
          h(ErrorBoundary, null, h(BatchOfRun, { dagId: video.dag_id, runId: video.run_id })),
        ),
      ),
  );
}

/** @param {{video: VideoRun, isOpen: boolean, toggle: () => void}} props */
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
      h(PageLink, { to: tabPath(video) }, h(TwoLines, null, video.name)),
      h(Small, null, [video.note !== video.name && video.note, video.dag_id].filter(Boolean).join(" · ")),
    ),
  );
}
