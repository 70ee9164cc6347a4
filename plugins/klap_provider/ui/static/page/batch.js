/** The videos of a batch: the run of each, its state, and what went wrong. */
import { ApiError, get } from "../api.js";
import { Notice, State, h } from "../parts.js";
import { Pending, useAnswer } from "./hooks.js";
import { Table } from "./table.js";
import { tabOf } from "./words.js";

const { Box, Heading, Stack, TableCell, TableRow, Text } = globalThis.ChakraUI;
const { Link } = globalThis.ReactRouterDOM;

const PAGE = 100; // what Airflow gives at most, unless told otherwise
const EVERY = 10_000; // ms

/**
 * Read what there is to know of the videos of a batch's run.
 *
 * @param {string} dagId
 * @param {string} runId
 * @param {AbortSignal} signal
 * @returns {Promise<{isBatch: boolean, ended: boolean, problem: string | null, videos: object[], leftOut: object[]}>}
 *   `problem`: with the list as a whole
 */
async function readBatch(dagId, runId, signal) {
  const run = ["dags", dagId, "dagRuns", runId];
  const page = (offset) => get([...run, "taskInstances"], { operator: OPERATORS, limit: PAGE, offset }, signal);
  const first = await page(0);
  const offsets = Array.from({ length: Math.ceil(first.total_entries / PAGE) - 1 }, (_, index) => (index + 1) * PAGE);
  const pages = [first, ...(await Promise.all(offsets.map(page)))];
  const instances = pages.flatMap(({ task_instances: found }) => found);
  const xcom = async ({ task_id, map_index }, key) => {
    try {
      const path = [...run, "taskInstances", task_id, "xcomEntries", key];
      return (await get(path, { map_index }, signal)).value;
    } catch (error) {
      if (error instanceof ApiError && [403, 404].includes(error.status)) return null;
      throw error;
    }
  };
  const list = instances.find(({ operator }) => operator === LIST);
  const problem = list?.state === "failed" ? (await xcom(list, "klap_error"))?.error : null;
  const summed = instances.find(({ operator, state }) => operator === SUMMARY && ["success", "failed"].includes(state));
  const summary = summed ? await xcom(summed, "return_value") : null;
  const videos = instances.filter(isVideo);
  const failed = summary ? [] : videos.filter(({ state }) => state === "failed");
  const outcomes = summary?.incomplete ?? (await Promise.all(failed.map((each) => xcom(each, "return_value"))));
  const errors = new Map(outcomes.filter(Boolean).map((each) => [each.run_id, each.error]));
  return {
    isBatch: instances.length > 0,
    ended: instances.length === 0 || summed !== undefined,
    problem: problem ?? null,
    videos: videos.map((each) => tell(each, errors)),
    leftOut: summary?.left_out ?? [],
  };
}

const LIST = "ReadVideoListOperator";
const VIDEO = "VideoRunOperator";
const SUMMARY = "SummarizeVideosOperator";
const OPERATORS = [LIST, VIDEO, SUMMARY];

/** Before it is mapped over the videos, a task stands for none of them. */
const isVideo = ({ operator, map_index, rendered_fields: fields }) =>
  operator === VIDEO && map_index >= 0 && Boolean(fields?.trigger_run_id);

function tell({ id, rendered_map_index: name, rendered_fields: fields, state }, errors) {
  const { trigger_dag_id: dag_id, trigger_run_id: run_id, source_video_url: url } = fields;
  return { id, name: name ?? url, dag_id, run_id, state, error: errors.get(run_id) ?? null };
}

/** The list of them, wherever the batch is shown. */
export function BatchVideos({ dagId, runId }) {
  const seen = useAnswer((signal) => readBatch(dagId, runId, signal), `${dagId} ${runId}`, EVERY);
  const { answer } = seen;
  if (answer === null) return h(Pending, seen);
  if (!answer.isBatch) return h(Text, { color: "fg.muted" }, "No task of this run works with Klap.");
  return h(
    Stack,
    { as: "section", "aria-label": "Batch", gap: 3 },
    seen.error && h(Pending, seen),
    answer.problem && h(Notice, { status: "error" }, answer.problem),
    h(Text, { fontSize: "sm" }, tally(answer.videos)),
    answer.videos.length > 0 &&
      h(
        Table,
        { label: "Videos of the batch", heads: [["Video"], ["State"], ["What went wrong"]] },
        answer.videos.map((video) => h(BatchRow, { key: video.id, video })),
      ),
    answer.leftOut.length > 0 && h(LeftOut, answer),
  );
}

function tally(videos) {
  if (videos.length === 0) return "No video is at work yet.";
  const done = videos.filter(({ state }) => state === "success").length;
  const failed = videos.filter(({ state }) => ["failed", "upstream_failed"].includes(state)).length;
  return `${done} of ${videos.length} videos complete${failed ? `, ${failed} failed` : ""}`;
}

function BatchRow({ video }) {
  return h(
    TableRow,
    null,
    h(
      TableCell,
      { color: "fg.info", minWidth: "12rem", wordBreak: "break-word" },
      h(Link, { to: tabOf(video) }, video.name),
    ),
    h(TableCell, null, h(State, { state: video.state })),
    h(
      TableCell,
      { fontSize: "sm", minWidth: "14rem", whiteSpace: "normal", wordBreak: "break-word" },
      video.error ?? "–",
    ),
  );
}

function LeftOut({ leftOut }) {
  return h(
    Box,
    null,
    h(Heading, { as: "h3", size: "sm" }, "Left out"),
    ...leftOut.map(({ line, source_video_url: url, reason }) =>
      h(Text, { fontSize: "sm", key: line, wordBreak: "break-word" }, `Line ${line}: ${url}: ${reason}`),
    ),
  );
}
