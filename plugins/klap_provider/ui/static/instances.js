/**
 * Task instances as Airflow's API gives them, and what a story is told of. Pure.
 *
 * Tasks are recognised by their operator, so that any DAG built of them has its tab.
 */

/** What each short goes through, in order. */
export const STEPS = ["ExportShortOperator", "ExportStatusSensor", "DeliverShortOperator"];
export const SUBMIT_WHOLE = "SubmitVideoOperator";
export const SUBMIT = ["SubmitShortsOperator", SUBMIT_WHOLE];
export const WAIT = ["TaskStatusSensor"];
export const CHOOSE = ["ReviewShortsOperator", "ListShortsOperator"];
export const PUBLISH = ["PublishShortsOperator"];

/** The operators whose task instances make up the story. */
export const OPERATORS = [...SUBMIT, ...WAIT, ...CHOOSE, ...STEPS, ...PUBLISH];

const OVER = ["success", "failed", "upstream_failed", "skipped"];

/** Whether a run has ended. */
export const hasEnded = (run) => ["success", "failed"].includes(run.state);

/** Whether a task instance is a step of one short, rather than of the run. */
export const isOfShort = (instance) => STEPS.includes(instance.operator);

/** Under which key an XCom is kept: it may change with the try and the state of its task. */
export const xcomKey = (instance, key) => `${instance.id} ${instance.state} ${key}`;

/** The key of a person's answer to a question, which is no XCom, and is kept like one. */
export const ANSWER = "hitlDetails";

/** A task instance as it was while it asked a person: what it has left then is kept under that. */
export const asking = (instance) => ({ ...instance, state: "awaiting_input" });

/** The first task instance of one of these operators, in their order. */
export const find = (instances, operators) =>
  operators.map((operator) => instances.find((each) => each.operator === operator)).find(Boolean);

export const isOver = (instanceOrShort) => OVER.includes(instanceOrShort?.state);

/** Where a task instance is in its run. */
export const place = (instance) => instance && { taskId: instance.task_id, mapIndex: instance.map_index };

// What tasks leave may be anything.
export const text = (value) => (typeof value === "string" && value !== "" ? value : null);
export const list = (value) => (Array.isArray(value) ? value : []);
export const number = (value) => (typeof value === "number" ? value : null);

/** An address that is safe to link to, or null. */
export function httpAddress(address) {
  const url = typeof address === "string" && URL.canParse(address) ? new URL(address) : null;
  return url !== null && ["http:", "https:"].includes(url.protocol) ? url.href : null;
}
