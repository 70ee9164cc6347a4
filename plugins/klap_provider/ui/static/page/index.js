/**
 * The page Klap in Airflow's navigation: what Airflow loads.
 *
 * What is seen first is imported here, so that the browser asks for it side by side; what is behind a tab, when it is
 * opened.
 */
import { h } from "../parts.js";
import { Videos } from "./videos.js";
import { Waiting } from "./waiting.js";

const { Suspense, lazy, useEffect, useReducer, useState } = globalThis.React;
const { Heading, Stack, TabsContent, TabsList, TabsRoot, TabsTrigger } = globalThis.ChakraUI;
const { useLocation } = globalThis.ReactRouterDOM;

const VIEWS = {
  videos: { title: "Videos", view: Videos },
  shorts: { title: "Shorts", view: lazy(async () => ({ default: (await import("./library.js")).Library })) },
  cost: { title: "Cost", view: lazy(async () => ({ default: (await import("./money.js")).Money })) },
};

/** The view that the page's address names. */
function addressed() {
  const asked = new URL(location.href).searchParams.get("view");
  return Object.hasOwn(VIEWS, asked ?? "") ? asked : "videos";
}

/** Draw anew when somebody chooses another time zone, of which Airflow's own pages are told so. */
function useZone() {
  const [, draw] = useReducer((before) => before + 1, 0);
  useEffect(() => {
    addEventListener("local-storage", draw);
    return () => removeEventListener("local-storage", draw);
  }, []);
}

function KlapPage() {
  useZone();
  const [opened, setOpened] = useState(addressed);
  const { key } = useLocation();
  useEffect(() => setOpened(addressed()), [key]); // a link of the page leads to another part of it
  const open = ({ value }) => {
    const address = new URL(location.href);
    address.search = new URLSearchParams({ view: value });
    // Not by way of the router, which would mount the page anew, and so take the focus from the tab.
    history.replaceState(history.state, "", address);
    setOpened(value);
  };
  const tabs = { lazyMount: true, onValueChange: open, unmountOnExit: true };
  return h(
    Stack,
    { as: "section", "aria-label": "Klap", gap: 5, height: "100%", overflowY: "auto", p: 4 },
    h(Heading, { as: "h1", size: "xl" }, "Klap"),
    h(Waiting),
    h(
      TabsRoot,
      { ...tabs, value: opened },
      h(
        TabsList,
        null,
        ...Object.entries(VIEWS).map(([value, { title }]) => h(TabsTrigger, { key: value, value }, title)),
      ),
      ...Object.entries(VIEWS).map(([value, { view }]) =>
        h(TabsContent, { key: value, pt: 4, value }, h(Suspense, { fallback: null }, h(view, { key }))),
      ),
    ),
  );
}

globalThis.Klap = KlapPage;
