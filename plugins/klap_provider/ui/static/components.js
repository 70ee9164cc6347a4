/** Small components in the style of Airflow's own pages. */
import { stateName, uiPath } from "./texts.js";

const { createElement, useState } = globalThis.React;
const { Badge, Box, Button, HStack, NativeSelectField, NativeSelectIndicator, NativeSelectRoot, Text } =
  globalThis.ChakraUI;
const { Link } = globalThis.ReactRouterDOM;

/** `createElement`, by a shorter name. */
export const h = /** @type {CreateElement} */ (createElement);

/**
 * Drawings for states and buttons, 24 × 24, drawn for this project.
 *
 * @type {Record<string, string>}
 */
const ICONS = {
  awaiting_input: "M4 4h16v12h-9l-4 4v-4H4zM9 10h6",
  deferred: "M7 3h10M7 21h10M8 3v4l4 5 4-5V3M8 21v-4l4-5 4 5v4",
  failed: "M7 7l10 10M17 7L7 17",
  no_status: "M6 12h.1M12 12h.1M18 12h.1",
  queued: "M5 7h5M5 12h9M5 17h14",
  removed: "M4 12a8 8 0 1 0 16 0a8 8 0 1 0-16 0M8 12h8",
  restarting: "M19 12a7 7 0 1 1-3-5.7M16.5 2v5h4.5",
  running: "M8 5l11 7-11 7z",
  scheduled: "M4 12a8 8 0 1 0 16 0a8 8 0 1 0-16 0M12 7.5V12h3.5",
  skipped: "M5 6l6.5 6L5 18M13 6l6.5 6-6.5 6",
  success: "M4.5 12.5l5 5 10-11",
  up_for_reschedule: "M3 12a6.5 6.5 0 1 0 13 0a6.5 6.5 0 1 0-13 0M9.5 8.5V12h3M20.5 6v12",
  up_for_retry: "M5 12a7 7 0 1 1 2.5 5.4M3 7.5l2 4.5 4.5-1.5",
  upstream_failed: "M12 20V9M7 13.5l5-5 5 5M5 4h14",

  closed: "M9.5 5.5l6 6.5-6 6.5",
  copy: "M4 4h11v11H4zM9 19.5h10.5V9",
  download: "M12 4v11M8 11.5l4 4 4-4M5 20h14",
  external: "M9 5H5v14h14v-4M13 5h6v6M19 5l-8 8",
  log: "M5 3h14v18H5zM9 8h6M9 12h6M9 16h3.5",
  open: "M5.5 9.5l6.5 6 6.5-6",
  short: "M7 3h10v18H7zM10.5 9.5l4 2.5-4 2.5z",
};

/**
 * A drawing, hidden from screen readers.
 *
 * @param {{name: string, size?: number | string}} props `size`: default: that of the text beside it
 */
export function Icon({ name, size = "1em" }) {
  /** @type {React.SVGAttributes<SVGElement>} */
  const line = {
    fill: "none",
    stroke: "currentColor",
    strokeWidth: 2,
    strokeLinecap: "round",
    strokeLinejoin: "round",
  };
  return h(
    "svg",
    { ...line, "aria-hidden": true, viewBox: "0 0 24 24", width: size, height: size },
    h("path", { d: ICONS[name] }),
  );
}

/** A state as on Airflow's Details tab: an icon in the colour of the state, and its name. */
export function State(/** @type {{state: string | null}} */ { state }) {
  const style = { borderRadius: "full", boxSize: 6, justifyContent: "center", p: 0, variant: "solid" };
  const colours = { colorPalette: state ?? "none", color: `${state ?? "none"}.contrast` };
  const drawing = h(Icon, { name: state !== null && ICONS[state] ? state : "no_status" });
  return h(
    HStack,
    { flexShrink: 0, gap: 1 },
    h(Badge, { ...style, ...colours }, drawing),
    h(Text, { fontSize: "sm" }, stateName(state)),
  );
}

/**
 * A bar that shows a percentage.
 *
 * @param {{role: "progressbar" | "meter", label: string, percent: number | null, color: string, text?: string}} props
 *   `percent`: null if unknown; `text`: read out by screen readers instead of the percentage
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

/**
 * A button of the size that Airflow's own pages use in tables.
 *
 * @param {Record<string, any>} props
 */
export const SmallButton = (props) => h(Button, { size: "xs", variant: "outline", ...props });

/**
 * A link to another page of Airflow.
 *
 * @param {{to: string, label?: string, replace?: boolean, children?: any}} props `label`: the accessible name, default:
 *   the text; `replace`: whether the page takes the place of this one in the history, default: as the router decides
 */
export const PageLink = ({ label, children, ...link }) =>
  h(Box, { as: "span", color: "fg.info" }, h(Link, { "aria-label": label, ...link }, children));

/**
 * Text that matters less than the text around it.
 *
 * @param {Record<string, any>} props
 */
export const Muted = (props) => h(Text, { color: "fg.muted", fontSize: "sm", ...props });

/** Buttons beside each other. What one of them opens has the style {@link BELOW}. */
export const ButtonRow = (/** @type {{children?: any}} */ { children }) =>
  h(HStack, { flexWrap: "wrap", gap: 2 }, children);

/** The style of an element in a {@link ButtonRow} that stands below all buttons. */
export const BELOW = { order: 1, width: "100%" };

/**
 * A button that copies a text. Browsers offer the clipboard only to pages served by HTTPS or from this machine.
 *
 * @param {{text: string, label: string, children?: string}} props `label`: the accessible name; without `children`, the button has no text
 */
export function CopyButton({ text, label, children }) {
  const [isCopied, setCopied] = useState(false);
  if (!navigator.clipboard) return null;
  const copy = () => navigator.clipboard.writeText(text).then(() => setCopied(true));
  const style = { minWidth: 6, px: children ? 2 : 0, size: "2xs", variant: "ghost" };
  return h(
    Button,
    { "aria-label": label, onClick: copy, ...style },
    h(Icon, { name: isCopied ? "success" : "copy" }),
    children && (isCopied ? "Copied" : children),
  );
}

/**
 * A link to another site, which opens in a new tab.
 *
 * @param {{href: string, icon: string, label?: string, children?: any}} props `label`: the accessible name, default: the text
 */
export function OutsideButton({ href, icon, label, children }) {
  const link = { href, target: "_blank", rel: "noopener noreferrer", "aria-label": label };
  return h(SmallButton, { asChild: true }, h("a", link, h(Icon, { name: icon }), children));
}

/**
 * A link to Airflow's page of a task instance.
 *
 * @param {{run: string[], task: TaskRef, page?: string, icon: string, label?: string, children?: any}} props `page`: the
 *   path of a part of that page; `label`: the accessible name, default: the text
 */
export function TaskButton({ run, task, page = "", icon, label, children }) {
  const to = uiPath(...run, "tasks", task.task_id, ...(task.map_index >= 0 ? ["mapped", task.map_index] : [])) + page;
  return h(SmallButton, { asChild: true }, h(Link, { to, "aria-label": label }, h(Icon, { name: icon }), children));
}

/**
 * A link to the tab of a run.
 *
 * @param {{run: string[], label: string, children?: any}} props `run`: the run's path in the UI, as segments
 */
export function RunLink({ run, label, children }) {
  const to = uiPath(...run, "plugin", "shorts");
  return h(SmallButton, { asChild: true }, h(Link, { to, "aria-label": label }, children));
}

/**
 * A list to choose from.
 *
 * @param {object} props
 * @param {string} props.label
 * @param {string} props.value
 * @param {string[][]} props.options values, each with its label
 * @param {(value: string) => void} props.choose
 */
export function Choice({ label, value, options, choose }) {
  return h(
    NativeSelectRoot,
    { size: "sm", width: "12rem" },
    h(
      NativeSelectField,
      { "aria-label": label, onChange: (/** @type {any} */ { target }) => choose(target.value), value },
      ...options.map(([each, text]) => h("option", { key: each, value: each }, text)),
    ),
    h(NativeSelectIndicator),
  );
}
