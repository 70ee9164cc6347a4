/** Hooks that load the data of the page, and the placeholder while they load or after an error. */
import { errorText } from "../api.js";
import { Notice, h } from "../components.js";
import { Polling } from "../polling.js";

const { useCallback, useEffect, useState } = globalThis.React;
const { Button, Skeleton, Stack } = globalThis.ChakraUI;

const PAGE = 25;

const ONCE = () => null;

/**
 * Load data, again when `key` changes, and as often as `pause` says.
 *
 * @param {(signal: AbortSignal) => Promise<any>} load
 * @param {string} key identifies the data
 * @param {(answer: any) => number | null} [pause] see {@link Polling}; default: only when the page becomes visible
 * @returns {{answer: any, error: Error | null, isStale: boolean, retry: () => void}} `isStale`: the answer is that of
 *   the previous key, which is shown until there is a new one
 */
export function useAnswer(load, key, pause = ONCE) {
  const [seen, setSeen] = useState({ answer: null, error: null, key: null });
  const [attempt, setAttempt] = useState(0);
  useEffect(() => {
    const loop = new Polling({
      load,
      show: (answer) => setSeen({ answer, error: null, key }),
      fail: (error) => setSeen(({ answer }) => ({ answer, error, key })),
      pause,
    });
    loop.start();
    return () => loop.stop();
  }, [key, attempt]);
  const { answer, error } = seen; // without `key`, which React would take as the key of a component
  return { answer, error, isStale: seen.key !== key, retry: useCallback(() => setAttempt((before) => before + 1), []) };
}

/**
 * Load a list page by page, further pages with a button.
 *
 * @param {(query: {limit: number, offset: number}, signal: AbortSignal) => Promise<any>} read loads one page, which tells
 *   whether there is `more`
 * @param {string} name of the list in its answer
 * @param {string} [what] identifies the list; when it changes, the first page is shown
 * @returns {[(signal: AbortSignal) => Promise<any>, string, Function]} the arguments of {@link useAnswer}, and the button
 */
export function usePages(read, name, what = "") {
  const [seen, setSeen] = useState({ what, pages: 1 });
  const pages = seen.what === what ? seen.pages : 1;
  const load = async (signal) => {
    const offsets = Array.from({ length: pages }, (_, page) => page * PAGE);
    const answers = await Promise.all(offsets.map((offset) => read({ limit: PAGE, offset }, signal)));
    return { ...answers.at(-1), [name]: answers.flatMap((answer) => answer[name]) };
  };
  const More = useCallback(
    ({ answer, isStale }) =>
      answer?.more
        ? h(
            Button,
            {
              alignSelf: "center",
              loading: isStale,
              onClick: () =>
                setSeen((before) => ({ what, pages: (before.what === what ? before.pages : 1) + 1 })),
              variant: "outline",
            },
            "More",
          )
        : null,
    [what],
  );
  return [load, `${pages} ${what}`, More];
}

/** The placeholder while data is loading, or the error. */
export function Pending({ answer, error, retry }) {
  if (error) {
    return h(
      Notice,
      { status: "error" },
      errorText(error),
      " ",
      h(Button, { onClick: retry, size: "xs", variant: "outline" }, "Retry"),
    );
  }
  if (answer !== null) return null;
  const lines = [0, 1, 2].map((line) => h(Skeleton, { key: line, height: 10 }));
  return h(Stack, { "aria-busy": true, "aria-label": "Loading", gap: 2, role: "status" }, ...lines);
}
