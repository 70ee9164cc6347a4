/** Hooks that load the data of the page, and the placeholder while they load or after an error. */
import { h } from "../components.js";
import { Loading, RequestError } from "../messages.js";
import { Polling } from "../polling.js";
import { useAddress } from "./address.js";

const { useCallback, useEffect, useState } = globalThis.React;
const { Button } = globalThis.ChakraUI;

/** Maximum number of rows in a response of the server. */
const MOST = 1000;

const ONCE = () => null;

/** For data that can change at any time: load it as often as Airflow's own pages do. */
export const ALWAYS = (/** @type {{refresh: number}} */ { refresh }) => refresh || null;

/**
 * Load data, again when `key` changes, and as often as `pause` says.
 *
 * @template Response
 * @param {(signal: AbortSignal) => Promise<Response>} load
 * @param {string} key identifies the data
 * @param {(response: Response) => number | null} [pause] see {@link Polling}; default: only when the page becomes visible
 * @returns {{response: Response | null, error: Error | null, isStale: boolean, retry: () => void}} `isStale`: the response is that of
 *   the previous key, which is shown until there is a new one
 */
export function useResponse(load, key, pause = ONCE) {
  /** @type {{response: Response | null, error: Error | null, key: string | null}} */
  const nothing = { response: null, error: null, key: null };
  const [seen, setSeen] = useState(nothing);
  const [attempt, setAttempt] = useState(0);
  // biome-ignore lint/correctness/useExhaustiveDependencies: `key` stands for `load` and `pause`, and `attempt` loads again
  useEffect(() => {
    const loop = new Polling({
      load,
      show: (response) => setSeen({ response, error: null, key }),
      fail: (error) => setSeen(({ response }) => ({ response, error, key })),
      pause,
    });
    loop.start();
    return () => loop.stop();
  }, [key, attempt]);
  const { response, error } = seen; // without `key`, which React would take as the key of a component
  return {
    response,
    error,
    isStale: seen.key !== key,
    retry: useCallback(() => setAttempt((before) => before + 1), []),
  };
}

/**
 * How many rows of a list are shown, kept in the page's address, and the button that shows more.
 *
 * @param {number} [page] the number of rows that are shown first, and that the button adds
 * @returns {[number, (isWhole: boolean, isStale: boolean) => any]} the number, and a function that returns the button
 *   unless the list is shown as a whole
 */
export function useLimit(page = 25) {
  const [{ rows }, change] = useAddress();
  const limit = Math.min(Math.max(Number.parseInt(rows, 10) || page, page), MOST);
  const button = {
    alignSelf: "center",
    onClick: () => change({ rows: String(limit + page) }, true),
    variant: "outline",
  };
  return [limit, (isWhole, isStale) => !isWhole && limit < MOST && h(Button, { ...button, loading: isStale }, "More")];
}

/**
 * The placeholder while data is loading, or the error.
 *
 * @param {{response: unknown, error: Error | null, retry: () => void}} props
 */
export function Pending({ response, error, retry }) {
  if (error) return h(RequestError, { error, retry });
  return response === null ? h(Loading) : null;
}
