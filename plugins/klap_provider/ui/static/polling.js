/**
 * Asks the server again and again: one request at a time, only while somebody looks, and never shows an older answer.
 *
 * @typedef {object} Clock what the loop needs of a browser; tests give their own
 * @property {() => number} now milliseconds
 * @property {(work: () => void, ms: number) => any} setTimeout
 * @property {(timer: any) => void} clearTimeout
 * @property {() => boolean} isHidden whether nobody looks
 * @property {(listen: () => void) => () => void} onLook is told when somebody looks again; returns what ends that
 */
import { ApiError } from "./api.js";

/** Milliseconds that an answer may take. */
export const TIMEOUT = 30_000;
/** Milliseconds between polls: for a while after the start or an action, and later. */
export const SOON = 3_000;
export const LATER = 10_000;
/** For how many milliseconds they follow soon. */
export const EAGER = 15_000;
/** Milliseconds after a failure; each further one doubles them. */
export const AFTER_ERROR = 5_000;
export const LONGEST = 60_000;

/** @type {Clock} */
const BROWSER = {
  now: () => Date.now(),
  setTimeout: (work, ms) => setTimeout(work, ms),
  clearTimeout: (timer) => clearTimeout(timer),
  isHidden: () => document.hidden,
  onLook: (listen) => {
    document.addEventListener("visibilitychange", listen);
    addEventListener("focus", listen);
    return () => {
      document.removeEventListener("visibilitychange", listen);
      removeEventListener("focus", listen);
    };
  },
};

export class Polling {
  #ask;
  #show;
  #fail;
  #pause;
  #isEager;
  #clock;
  #abort = null;
  #timer = null;
  #stopLooking = null;
  #askedAt = -Infinity;
  #soonUntil = -Infinity;
  #actedUntil = -Infinity;
  #failures = 0;
  #isOver = true;

  /**
   * @param {object} loop
   * @param {(signal: AbortSignal) => Promise<any>} loop.ask gets one answer
   * @param {(answer: any) => void} loop.show is given each answer
   * @param {(error: Error) => void} loop.fail is told of each failure
   * @param {(answer: any) => number | null} loop.pause seconds that Airflow's own pages wait; null: ask again only when
   *   somebody looks or acts
   * @param {boolean} [loop.isEager] whether the first polls follow each other soon
   * @param {Clock} [clock]
   */
  constructor({ ask, show, fail, pause, isEager = false }, clock = BROWSER) {
    this.#ask = ask;
    this.#show = show;
    this.#fail = fail;
    this.#pause = pause;
    this.#isEager = isEager;
    this.#clock = clock;
  }

  start() {
    this.#isOver = false;
    this.#stopLooking = this.#clock.onLook(() => this.#look());
    if (this.#isEager) this.#soonUntil = this.#clock.now() + EAGER;
    this.#poll();
  }

  stop() {
    this.#isOver = true;
    this.#stopLooking?.();
    this.#clock.clearTimeout(this.#timer);
    this.#abort?.abort();
  }

  /** Ask at once, and soon again: something was done. What was asked before is not waited for. */
  now() {
    this.#actedUntil = this.#clock.now() + EAGER;
    this.#poll();
  }

  #look() {
    // A window that gets the focus tells so twice.
    if (!this.#clock.isHidden() && this.#abort === null && this.#clock.now() - this.#askedAt >= SOON) this.#poll();
  }

  async #poll() {
    if (this.#isOver) return;
    this.#abort?.abort();
    this.#clock.clearTimeout(this.#timer);
    const abort = new AbortController();
    this.#abort = abort;
    this.#askedAt = this.#clock.now();
    const timeout = this.#clock.setTimeout(() => abort.abort(new Error("it took too long")), TIMEOUT);
    const isLatest = () => this.#abort === abort && !this.#isOver;
    let pause = null;
    try {
      const answer = await this.#ask(abort.signal);
      if (!isLatest()) return;
      this.#failures = 0;
      this.#show(answer);
      pause = this.#pauseAfter(answer);
    } catch (error) {
      if (!isLatest()) return;
      this.#fail(abort.signal.aborted ? abort.signal.reason : error);
      pause = this.#pauseAfterError(error);
    } finally {
      this.#clock.clearTimeout(timeout);
      if (this.#abort === abort) this.#abort = null;
    }
    // While nobody looks, nothing is asked; whoever looks again asks at once.
    if (pause !== null && !this.#isOver)
      this.#timer = this.#clock.setTimeout(() => this.#clock.isHidden() || this.#poll(), pause);
  }

  #pauseAfter(answer) {
    const [now, seconds] = [this.#clock.now(), this.#pause(answer)];
    if (seconds === null) return now < this.#actedUntil ? SOON : null;
    const isSoon = now < Math.max(this.#soonUntil, this.#actedUntil);
    return Math.max(isSoon ? SOON : LATER, seconds * 1000);
  }

  #pauseAfterError(error) {
    if (error instanceof ApiError && error.status === 401) return null; // somebody has to sign in first
    this.#failures += 1;
    return Math.min(LONGEST, AFTER_ERROR * 2 ** (this.#failures - 1));
  }
}
