/** Keeps what is shown of a run fresh: while the run goes on, and only while somebody looks. */
import { ApiError } from "./api.js";

const PAUSE = 4000; // ms, between an answer and the next look
const PAUSE_AFTER_ERROR = 15000;

/**
 * Read a run again and again until it has ended or will not be answered. Never throws.
 *
 * @param {import("./reader.js").RunReader} reader
 * @param {AbortSignal} signal ends it
 * @param {(answers: import("./story.js").Answers) => void} show
 * @param {(error: Error) => void} fail told of each look that failed
 */
export async function watch(reader, signal, show, fail) {
  for (;;) {
    let pause = PAUSE;
    try {
      for await (const answers of reader.read(signal)) {
        if (!signal.aborted) show(answers);
      }
      if (["success", "failed"].includes(reader.latest.run.state)) return;
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
