/**
 * Polls the server: one request at a time, only while the page is visible. An outdated response is never shown.
 *
 * @typedef {object} Clock the functions of a browser that the loop uses; tests pass their own
 * @property {() => number} now milliseconds
 * @property {(work: () => void, ms: number) => any} setTimeout
 * @property {(timer: any) => void} clearTimeout
 * @property {() => boolean} isHidden whether the page is hidden
 * @property {(listen: () => void) => () => void} onVisible calls `listen` when the page becomes visible or gets the
 *   focus; returns a function that stops this
 */
import { ApiError } from "./api.js";

/** Timeout of a request, in milliseconds. */
export const TIMEOUT = 30_000;
/** Poll interval in milliseconds: soon after the start or an action, and later. */
export const SOON = 3_000;
export const LATER = 10_000;
/** How long the short interval is used, in milliseconds. */
export const EAGER = 15_000;
/** Milliseconds until the next poll after a failure. Each further failure doubles it, up to LONGEST. */
export const AFTER_ERROR = 5_000;
export const LONGEST = 60_000;

/** @type {Clock} */
const BROWSER = {
  now: () => Date.now(),
  setTimeout: (work, ms) => setTimeout(work, ms),
  clearTimeout: (timer) => clearTimeout(timer),
  isHidden: () => document.hidden,
  onVisible: (listen) => {
    document.addEventListener("visibilitychange", listen);
    addEventListener("focus", listen);
    return () => {
      document.removeEventListener("visibilitychange", listen);
      removeEventListener("focus", listen);
    };
  },
};

export class Polling {
  #load;
  #show;
  #fail;
  #pause;
  #isEager;
  #clock;
  /** @type {AbortController | null} */
  #abort = null;
  /** @type {any} */
  #timer;
  /** @type {(() => void) | undefined} */
  #stopListening;
  #polledAt = -Infinity;
  #soonUntil = -Infinity;
  #actedUntil = -Infinity;
  #failures = 0;
  #isOver = true;

  /**
   * @param {object} loop
   * @param {(signal: AbortSignal) => Promise<any>} loop.load gets one response
   * @param {(response: any) => void} loop.show called with each response
   * @param {(error: Error) => void} loop.fail called with each error
   * @param {(response: any) => number | null} loop.pause seconds that Airflow's own pages wait; null: poll again only
   *   when the page becomes visible or after an action
   * @param {boolean} [loop.isEager] whether the first polls use the short interval
   * @param {Clock} [clock]
   */
  constructor({ load, show, fail, pause, isEager = false }, clock = BROWSER) {
    this.#load = load;
    this.#show = show;
    this.#fail = fail;
    this.#pause = pause;
    this.#isEager = isEager;
    this.#clock = clock;
  }

  start() {
    this.#isOver = false;
    this.#stopListening = this.#clock.onVisible(() => this.#resume());
    if (this.#isEager) this.#soonUntil = this.#clock.now() + EAGER;
    this.#poll();
  }

  stop() {
    this.#isOver = true;
    this.#stopListening?.();
    this.#clock.clearTimeout(this.#timer);
    this.#abort?.abort();
  }

  /** Poll at once after an action, and use the short interval. A pending poll is aborted. Ends with the poll. */
  now() {
    this.#actedUntil = this.#clock.now() + EAGER;
    return this.#poll();
  }

  #resume() {
    // A window that gets the focus calls this twice.
    if (!this.#clock.isHidden() && this.#abort === null && this.#clock.now() - this.#polledAt >= SOON) this.#poll();
  }

  async #poll() {
    if (this.#isOver) return;
    this.#abort?.abort();
    this.#clock.clearTimeout(this.#timer);
    const abort = new AbortController();
    this.#abort = abort;
    this.#polledAt = this.#clock.now();
    const timeout = this.#clock.setTimeout(() => abort.abort(new Error("the request timed out")), TIMEOUT);
    const isLatest = () => this.#abort === abort && !this.#isOver;
    /** @type {number | null} */
    let pause = null;
    try {
      const response = await this.#load(abort.signal);
      if (!isLatest()) return;
      this.#failures = 0;
      this.#show(response);
      pause = this.#pauseAfter(response);
    } catch (error) {
      if (!isLatest()) return;
      this.#fail(abort.signal.aborted ? abort.signal.reason : error);
      pause = this.#pauseAfterError(error);
    } finally {
      this.#clock.clearTimeout(timeout);
      if (this.#abort === abort) this.#abort = null;
    }
    // A hidden page does not poll. It polls at once when it becomes visible.
    if (pause !== null && !this.#isOver)
      this.#timer = this.#clock.setTimeout(() => this.#clock.isHidden() || this.#poll(), pause);
  }

  /** @param {any} response */
  #pauseAfter(response) {
    const [now, seconds] = [this.#clock.now(), this.#pause(response)];
    if (seconds === null) return now < this.#actedUntil ? SOON : null;
    const isSoon = now < Math.max(this.#soonUntil, this.#actedUntil);
    return Math.max(isSoon ? SOON : LATER, seconds * 1000);
  }

  /** @param {unknown} error */
  #pauseAfterError(error) {
    if (error instanceof ApiError && error.status === 401) return null; // the user has to sign in first
    this.#failures += 1;
    return Math.min(LONGEST, AFTER_ERROR * 2 ** (this.#failures - 1));
  }
}
