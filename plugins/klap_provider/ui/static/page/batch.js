/** The videos of a batch: the run of each, its state and its error. */
import { getIfChanged } from "../api.js";
import { h, PageLink, State } from "../components.js";
import { Notice } from "../messages.js";
import { Pending, useResponse } from "./hooks.js";
import { NUMBER, PriceNote, RunCost, Table, TwoLines } from "./table.js";
import { failureText, progressText, tabPath } from "./texts.js";

const { useRef } = globalThis.React;
const { Box, Heading, Stack, TableCell, TableRow, Text } = globalThis.ChakraUI;

/** The videos of a batch, loaded when its row on the Klap page is opened. */
export function BatchOfRun(/** @type {{dagId: string, runId: string}} */ { dagId, runId }) {
  const known = useRef(/** @type {{response: any, etag: string | null}} */ ({ response: null, etag: null }));
  /** @type {(signal: AbortSignal) => Promise<RunView>} */
  const load = async (signal) => {
    known.current = await getIfChanged(["api", "dags", dagId, "runs", runId, "shorts"], known.current, signal);
    return known.current.response;
  };
  const seen = useResponse(load, `${dagId} ${runId}`, ({ batch, refresh }) =>
    batch?.ended === false ? refresh : null,
  );
  const { response } = seen;
  if (response === null) return h(Pending, seen);
  if (response.batch === null) return h(Text, { color: "fg.muted" }, "This run has no Klap tasks.");
  return h(Stack, { gap: 3 }, seen.error && h(Pending, seen), h(BatchVideos, { batch: response.batch }));
}

/** The videos of a batch. */
export function BatchVideos(/** @type {{batch: Batch}} */ { batch }) {
  return h(
    Stack,
    { as: "section", "aria-label": "Batch", gap: 3 },
    batch.problem && h(Notice, { status: "error" }, batch.problem),
    !batch.problem && h(Text, { fontSize: "sm" }, progressText(batch), batch.ended && ` ${failureText(batch)}`),
    batch.videos.length > 0 &&
      h(
        Table,
        { label: "Videos of the batch", heads: HEADS },
        batch.videos.map((video) => h(BatchRow, { key: `${video.dag_id} ${video.run_id}`, video })),
      ),
    h(PriceNote, { rows: batch.videos }),
    batch.left_out.length > 0 && h(LeftOutLines, batch),
  );
}

const HEADS = [["Line", NUMBER], ["Video"], ["State"], ["Cost", NUMBER], ["Error"]];

/** @param {{video: BatchVideo}} props */
function BatchRow({ video }) {
  const name = video.line ? `line ${video.line}, ${video.label}` : video.label;
  return h(
    TableRow,
    null,
    h(TableCell, NUMBER, video.line ?? "–"),
    h(
      TableCell,
      { minWidth: "10rem", whiteSpace: "normal" },
      h(PageLink, { to: tabPath(video) }, h(TwoLines, { title: video.name }, video.label)),
    ),
    h(TableCell, null, h(State, { state: video.state })),
    h(TableCell, NUMBER, h(RunCost, { run: { ...video, budget: null }, name })),
    h(
      TableCell,
      { fontSize: "sm", minWidth: "12rem", whiteSpace: "normal", wordBreak: "break-word" },
      video.error ?? "–",
    ),
  );
}

/** @param {Batch} batch */
function LeftOutLines({ left_out: leftOut }) {
  return h(
    Box,
    null,
    h(Heading, { as: "h3", size: "sm" }, "Left out"),
    ...leftOut.map(({ line, source_video_url: url, reason }) =>
      h(Text, { fontSize: "sm", key: line, wordBreak: "break-word" }, `Line ${line}: ${url}: ${reason}`),
    ),
  );
}
