/** The videos of a batch: the run of each, its state, and what went wrong. */
import { ApiError, get, getFromPlugin } from "../api.js";
import { Notice, State, h } from "../parts.js";
import { Pending, useAnswer } from "./hooks.js";
import { Cost, NUMBER, Short, Table } from "./table.js";
import { tabOf, tally, whyRed } from "./words.js";

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
  const started = first.total_entries > 0 ? runsOf(dagId, runId, signal) : Promise.resolve(new Map());
  started.catch(() => {}); // it is awaited below, if no other request fails first
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
  const unlisted = summary ?? (list?.state === "success" ? await xcom(list, "klap_list") : null);
  const videos = instances.filter(isVideo);
  const failed = summary ? [] : videos.filter(({ state }) => state === "failed");
  const outcomes = summary?.incomplete ?? (await Promise.all(failed.map((each) => xcom(each, "return_value"))));
  const errors = new Map(outcomes.filter(Boolean).map((each) => [each.run_id, each.error]));
  return {
    isBatch: instances.length > 0,
    ended: instances.length === 0 || summed !== undefined,
    problem: problem ?? null,
    videos: videos.map(tell(errors, await started)),
    leftOut: unlisted?.left_out ?? [],
  };
}

/** What there is of the runs that a batch has started, by their ids. */
async function runsOf(run_dag_id, run_id, signal) {
  const runs = [];
  for (let more = true; more; ) {
    const query = { run_dag_id, run_id, limit: PAGE, offset: runs.length };
    const page = await getFromPlugin(["api", "videos"], query, signal);
    runs.push(...page.videos);
    more = page.more;
  }
  return new Map(runs.map((run) => [run.run_id, run]));
}

const LIST = "ReadVideoListOperator";
const VIDEO = "VideoRunOperator";
const SUMMARY = "SummarizeVideosOperator";
const OPERATORS = [LIST, VIDEO, SUMMARY];

/** Before it is mapped over the videos, a task stands for none of them. */
const isVideo = ({ operator, map_index, rendered_fields: fields }) =>
  operator === VIDEO && map_index >= 0 && Boolean(fields?.trigger_run_id);

const tell =
  (errors, runs) =>
  ({ id, rendered_map_index: name, rendered_fields: fields, state }) => {
    const { trigger_dag_id: dag_id, trigger_run_id: run_id, source_video_url: url, line } = fields;
    const run = runs.get(run_id) ?? { cost: null, second_hand: false };
    // Of a run that goes on, it says more than the task that waits for it.
    const its = { state: state === "deferred" ? (run.state ?? state) : state, error: errors.get(run_id) ?? null };
    return { ...run, ...its, budget: null, dag_id, id, line, name: name ?? url, run_id };
  };

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
    !answer.problem && h(Text, { fontSize: "sm" }, tally(answer), answer.ended && ` ${whyRed(answer)}`),
    answer.videos.length > 0 &&
      h(
        Table,
        { label: "Videos of the batch", heads: HEADS },
        answer.videos.map((video) => h(BatchRow, { key: video.id, video })),
      ),
    answer.leftOut.length > 0 && h(LeftOut, answer),
  );
}

const HEADS = [["Line", NUMBER], ["Video"], ["State"], ["Cost", NUMBER], ["What went wrong"]];

function BatchRow({ video }) {
  const name = video.line ? `line ${video.line}, ${video.name}` : video.name;
  return h(
    TableRow,
    null,
    h(TableCell, NUMBER, video.line ?? "–"),
    h(
      TableCell,
      { color: "fg.info", minWidth: "10rem", whiteSpace: "normal" },
      h(Link, { to: tabOf(video) }, h(Short, null, video.name)),
    ),
    h(TableCell, null, h(State, { state: video.state })),
    h(TableCell, NUMBER, h(Cost, { run: video, name })),
    h(
      TableCell,
      { fontSize: "sm", minWidth: "12rem", whiteSpace: "normal", wordBreak: "break-word" },
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
