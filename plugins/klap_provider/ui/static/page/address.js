/** The parameters in the page's address, so that Back, a reload and a shared link show the same. */
import { changed } from "./texts.js";

const { useSyncExternalStore } = globalThis.React;

const CHANGED = "klap-address";

/** @param {() => void} listen */
function subscribe(listen) {
  for (const event of ["popstate", CHANGED]) addEventListener(event, listen);
  return () => {
    for (const event of ["popstate", CHANGED]) removeEventListener(event, listen);
  };
}

/**
 * @typedef {(changes: Record<string, string | null>, isSmall?: boolean) => void} Change
 */

/**
 * The parameters of the page's address, and a function that changes some of them. With `isSmall` the change is no step
 * of its own for Back.
 *
 * @returns {[Record<string, string>, Change]}
 */
export function useAddress() {
  const search = useSyncExternalStore(subscribe, () => location.search);
  /** @type {Change} */
  const change = (changes, isSmall = false) => {
    // Without the router, which would mount the page again and take the focus.
    const address = changed(location.href, changes);
    history[isSmall ? "replaceState" : "pushState"](history.state, "", address);
    dispatchEvent(new Event(CHANGED));
  };
  return [Object.fromEntries(new URLSearchParams(search)), change];
}
