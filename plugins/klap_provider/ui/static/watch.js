/** Keeps what is shown of a run fresh: while the run goes on, and only while somebody looks. */
import { ApiError } from "./api.js";
import { hasEnded } from "./instances.js";

const PAUSE = 4000; // ms, between an answer and the next look
const PAUSE_AFTER_ERROR = 15000;
const PAUSE_AT_THE_END = 5000; // until the next look whether somebody has cleared the run

/**
 * Read a run again and again until it will not be answered; of one that has ended, only whether it goes on. Never
 * throws.
 *
 * @param {import("./reader.js").RunReader} reader
 * @param {AbortSignal} signal ends it
 * @param {(answers: import("./story.js").Answers) => void} show
 * @param {(error: Error) => void} fail told of each look that failed
 */
export async function watch(reader, signal, show, fail) {
  while (!signal.aborted) {
    let pause = PAUSE;
    try {
      for await (const answers of reader.read(signal)) {
        if (!signal.aborted) show(answers);
      }
      if (hasEnded(reader.latest.run)) {
        await goneOn(reader, signal);
        continue;
      }
    } catch (error) {
      if (signal.aborted) return;
      fail(error);
      if (error instanceof ApiError && error.status < 500 && error.status !== 429) return;
      pause = PAUSE_AFTER_ERROR;
    }
    await passed(pause, signal);
    await visible(signal);
    if (signal.aborted) return;
  }
}

/** Resolves when a run that has ended is no longer as it was. */
async function goneOn(reader, signal) {
  const { end_date } = reader.latest.run;
  let run = reader.latest.run;
  while (hasEnded(run) && run.end_date === end_date && !signal.aborted) {
    await passed(PAUSE_AT_THE_END, signal);
    await visible(signal);
    if (!signal.aborted) run = await reader.look(signal);
  }
}

function passed(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => resolve(clearTimeout(timer)), { once: true });
  });
}

function visible(signal) {
  return new Promise((resolve) => {
    if (!document.hidden || signal.aborted) return resolve();
    const done = () => document.hidden || resolve();
    document.addEventListener("visibilitychange", done, { signal });
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
