/**
 * The Klap page in Airflow's navigation: what Airflow loads.
 *
 * The modules of the first view are imported here, so that the browser loads them in parallel. Those of the other views
 * are loaded when their tab is opened.
 */

import { h } from "../components.js";
import { ErrorBoundary } from "../messages.js";
import { useAddress } from "./address.js";
import { OpenReviews } from "./open-reviews.js";
import { oneOf, opening } from "./texts.js";
import { Videos } from "./videos.js";

const { Suspense, lazy, useEffect, useReducer } = globalThis.React;
const { Heading, Stack, TabsContent, TabsList, TabsRoot, TabsTrigger } = globalThis.ChakraUI;
const { useLocation } = globalThis.ReactRouterDOM;

const VIEWS = {
  videos: { title: "Videos", view: Videos },
  shorts: { title: "Shorts", view: lazy(async () => ({ default: (await import("./shorts.js")).DeliveredShorts })) },
  sources: { title: "Sources", view: lazy(async () => ({ default: (await import("./sources.js")).Sources })) },
  cost: { title: "Cost", view: lazy(async () => ({ default: (await import("./cost.js")).CostView })) },
};

/** Draw again when the user chooses another time zone in Airflow. */
function useTimeZone() {
  const [, draw] = useReducer((before) => before + 1, 0);
  useEffect(() => {
    addEventListener("local-storage", draw);
    return () => removeEventListener("local-storage", draw);
  }, []);
}

function KlapPage() {
  useTimeZone();
  const { key } = useLocation(); // a link on the page may open another view
  const [{ view }, change] = useAddress();
  const opened = oneOf(VIEWS, view);
  const open = (/** @type {{value: string}} */ { value }) => change(opening(value));
  const tabs = { lazyMount: true, onValueChange: open, unmountOnExit: true };
  return h(
    Stack,
    { as: "section", "aria-label": "Klap", gap: 5, height: "100%", overflowY: "auto", p: 4 },
    h(Heading, { as: "h1", size: "xl" }, "Klap"),
    h(ErrorBoundary, null, h(OpenReviews)),
    h(
      TabsRoot,
      { ...tabs, value: opened },
      h(
        TabsList,
        null,
        ...Object.entries(VIEWS).map(([value, { title }]) => h(TabsTrigger, { key: value, value }, title)),
      ),
      ...Object.entries(VIEWS).map(([value, { view: content }]) =>
        h(
          TabsContent,
          { key: value, pt: 4, value },
          h(ErrorBoundary, { key }, h(Suspense, { fallback: null }, h(content))),
        ),
      ),
    ),
  );
}

globalThis.Klap = () => h(ErrorBoundary, null, h(KlapPage));
