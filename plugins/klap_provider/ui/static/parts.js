/** Small parts of the tab, after those of Airflow's own pages. */
import { pathOf, stateName } from "./words.js";

const { createElement, useDeferredValue, useId } = globalThis.React;
const { AlertContent, AlertIndicator, AlertRoot, Badge, Box, Button, Flex, HStack, SimpleGrid, Text } =
  globalThis.ChakraUI;
const { Link } = globalThis.ReactRouterDOM;

/** `createElement`, by a shorter name. */
export const h = createElement;

/** The drawings that Airflow puts beside states, and those of buttons: Feather and Lucide icons, 24 × 24. */
const ICONS = {
  awaiting_input:
    "M2 21a8 8 0 0 1 10.821-7.487M21.378 16.626a1 1 0 0 0-3.004-3.004l-4.01 4.012a2 2 0 0 0-.506.854l-.837 2.87a.5.5 0 0 0 .62.62l2.87-.837a2 2 0 0 0 .854-.506zM15 8A5 5 0 1 1 5 8A5 5 0 1 1 15 8",
  deferred:
    "M19 12A7 7 0 1 1 5 12A7 7 0 1 1 19 12M12 9v3l1.5 1.5M16.51 17.35l-.35 3.83a2 2 0 0 1-2 1.82H9.83a2 2 0 0 1-2-1.82l-.35-3.83m.01-10.7l.35-3.83A2 2 0 0 1 9.83 1h4.35a2 2 0 0 1 2 1.82l.35 3.83",
  failed: "M18 6L6 18M6 6l12 12",
  no_status:
    "M10.1 2.182a10 10 0 0 1 3.8 0M13.9 21.818a10 10 0 0 1-3.8 0M17.609 3.721a10 10 0 0 1 2.69 2.7M2.182 13.9a10 10 0 0 1 0-3.8M20.279 17.609a10 10 0 0 1-2.7 2.69M21.818 10.1a10 10 0 0 1 0 3.8M3.721 6.391a10 10 0 0 1 2.7-2.69M6.391 20.279a10 10 0 0 1-2.69-2.7",
  queued: "M3 6h18M3 12h10M3 18h10M17 12l5 3.5-5 3.5z",
  removed: "M22 12A10 10 0 1 1 2 12A10 10 0 1 1 22 12M4.93 4.93l14.14 14.14",
  restarting: "M17 1l4 4-4 4M3 11V9a4 4 0 0 1 4-4h14M7 23l-4-4 4-4M21 13v2a4 4 0 0 1-4 4H3",
  running: "M22 12h-4l-3 9L9 3l-3 9H2",
  scheduled: "M5 4h14a2 2 0 0 1 2 2v14a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2V6a2 2 0 0 1 2-2zM16 2v4M8 2v4M3 10h18",
  skipped: "M5 4l10 8-10 8zM19 5v14",
  success: "M20 6L9 17l-5-5",
  up_for_reschedule:
    "M11 10v4h4M11 14l1.535-1.605a5 5 0 0 1 8 1.5M16 2v4M21 18l-1.535 1.605a5 5 0 0 1-8-1.5M21 22v-4h-4M21 8.5V6a2 2 0 0 0-2-2H5a2 2 0 0 0-2 2v14a2 2 0 0 0 2 2h4.3M3 10h4M8 2v4",
  up_for_retry: "M15 14l5-5-5-5M20 9H9.5A5.5 5.5 0 0 0 4 14.5A5.5 5.5 0 0 0 9.5 20H13",
  upstream_failed:
    "M12 2a10 10 0 0 1 7.38 16.75M16 12l-4-4-4 4M12 16V8M2.5 8.875a10 10 0 0 0-.5 3M2.83 16a10 10 0 0 0 2.43 3.4M4.636 5.235a10 10 0 0 1 .891-.857M8.644 21.42a10 10 0 0 0 7.631-.38",

  closed: "M9 6l6 6-6 6",
  copy: "M9 2h6a1 1 0 0 1 1 1v2a1 1 0 0 1-1 1H9a1 1 0 0 1-1-1V3a1 1 0 0 1 1-1zM16 4h2a2 2 0 0 1 2 2v14a2 2 0 0 1-2 2H6a2 2 0 0 1-2-2V6a2 2 0 0 1 2-2h2",
  download: "M12 15V3M7 10l5 5 5-5M21 15v4a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2v-4",
  external: "M18 13v6a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2V8a2 2 0 0 1 2-2h6M15 3h6v6M10 14L21 3",
  log: "M14 2H6a2 2 0 0 0-2 2v16a2 2 0 0 0 2 2h12a2 2 0 0 0 2-2V8zM14 2v6h6M8 13h8M8 17h8",
  open: "M6 9l6 6 6-6",
  short: "M8 2h8a2 2 0 0 1 2 2v16a2 2 0 0 1-2 2H8a2 2 0 0 1-2-2V4a2 2 0 0 1 2-2zM10.5 9l4 3-4 3z",
};

/** A drawing in the size and colour of the text beside it; for the eye only. */
export function Icon({ name, size = "1em" }) {
  const line = {
    fill: "none",
    stroke: "currentColor",
    strokeWidth: 2,
    strokeLinecap: "round",
    strokeLinejoin: "round",
  };
  return h(
    "svg",
    { "aria-hidden": true, viewBox: "0 0 24 24", width: size, height: size, ...line },
    h("path", { d: ICONS[name] }),
  );
}

/** A state as on Airflow's Details tab: its drawing on its colour, and its word beside it. */
export function State({ state }) {
  const look = { borderRadius: "full", boxSize: 6, justifyContent: "center", p: 0, variant: "solid" };
  const colours = { colorPalette: state ?? "none", color: `${state ?? "none"}.contrast` };
  const drawing = h(Icon, { name: ICONS[state] ? state : "no_status" });
  return h(
    HStack,
    { flexShrink: 0, gap: 1 },
    h(Badge, { ...look, ...colours }, drawing),
    h(Text, { fontSize: "sm" }, stateName(state)),
  );
}

/**
 * A bar of how much.
 *
 * @param {{role: "progressbar" | "meter", label: string, percent: number | null, color: string, text?: string}} props
 *   with `percent` null nobody knows how much; `text` is read out in its place
 */
export function Bar({ role, label, percent, color, text }) {
  const fill = percent === null ? { width: "100%", opacity: 0.4, animation: "pulse" } : { width: `${percent}%` };
  const spoken = {
    "aria-label": label,
    "aria-valuemin": 0,
    "aria-valuemax": 100,
    "aria-valuenow": percent ?? undefined,
  };
  return h(
    Box,
    {
      role,
      ...spoken,
      "aria-valuetext": text,
      bg: "bg.emphasized",
      borderRadius: "full",
      flex: 1,
      height: "6px",
      overflow: "hidden",
    },
    h(Box, { bg: color, borderRadius: "full", height: "100%", transition: "width 0.3s", ...fill }),
  );
}

/** A button that leads to another site, in a tab of its own. */
export function OutsideButton({ href, icon, label, children }) {
  const link = { href, target: "_blank", rel: "noopener noreferrer", "aria-label": label };
  return h(Button, { asChild: true, size: "xs", variant: "outline" }, h("a", link, h(Icon, { name: icon }), children));
}

/** A button that leads to a task instance, in Airflow. */
export function TaskButton({ run, place, page = "", icon, label, children }) {
  const to = pathOf(...run, "tasks", place.taskId, ...(place.mapIndex >= 0 ? ["mapped", place.mapIndex] : [])) + page;
  return h(
    Button,
    { asChild: true, size: "xs", variant: "outline" },
    h(Link, { to, "aria-label": label }, h(Icon, { name: icon }), children),
  );
}

/** A button that leads to the tab of a run: `run` is its address, in parts. */
export function RunLink({ run, label, children }) {
  const to = pathOf(...run, "plugin", "shorts");
  return h(Button, { asChild: true, size: "xs", variant: "outline" }, h(Link, { to, "aria-label": label }, children));
}

const FIRST = 8; // cards, about a screen of them

/** Cards side by side: `draw` makes one of a short. A hundred take a while: the first ones do not wait for the others. */
export function CardGrid({ shorts, draw, columns = "repeat(auto-fill, minmax(min(100%, 24rem), 1fr))" }) {
  const shown = useDeferredValue(shorts, shorts.slice(0, FIRST));
  return h(SimpleGrid, { alignItems: "start", as: "ul", role: "list", gap: 3, gridTemplateColumns: columns }, ...shown.map(draw));
}

/** A box to tick; what it says is beside it. */
export function Tick({ isTicked, toggle, label, children }) {
  const box = useId();
  const input = { "aria-label": label, checked: isTicked, id: box, onChange: toggle, type: "checkbox" };
  return h(
    HStack,
    { as: "label", cursor: "pointer", fontSize: "sm", fontWeight: "semibold", gap: 2, htmlFor: box },
    h("input", { ...input, style: { accentColor: "currentColor", flexShrink: 0, height: "1.1rem", width: "1.1rem" } }),
    children,
  );
}

/** What to do with what was ticked: it stays in sight at the end of a list. */
export function ActionBar({ children }) {
  const look = { bg: "bg", borderRadius: "md", borderWidth: 1, boxShadow: "md", p: 3 };
  const lines = { alignItems: "center", columnGap: 3, flexWrap: "wrap", rowGap: 2 };
  return h(Flex, { ...look, ...lines, bottom: 0, position: "sticky", zIndex: 1 }, children);
}

/** A message in a box, as Airflow shows its errors. */
export function Notice({ status, children }) {
  return h(
    AlertRoot,
    { role: "alert", status },
    h(AlertIndicator),
    h(AlertContent, { display: "block", wordBreak: "break-word" }, children),
  );
}
