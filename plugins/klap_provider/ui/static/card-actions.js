/** The actions on an exported short: resolve its request, retry it, export it again. */
import { ActionButton, exportMore, Question, repeat, resolve, TabContext } from "./actions.js";
import { BELOW, Choice, h, SmallButton } from "./components.js";
import { ResolveRequest } from "./in-doubt.js";
import { priceText } from "./texts.js";
import { WatermarkPreview } from "./watermark-preview.js";

const { useContext, useId, useState } = globalThis.React;
const { Flex, Input, Stack, Text } = globalThis.ChakraUI;

/**
 * What a short needs a user for.
 *
 * @param {{short: Short, run: string[]}} props `run`: the run's path in the UI, as segments
 */
export function NextStep({ short, run }) {
  if (short.in_doubt) return h(ResolveRequest, { doubt: short.in_doubt, error: short.error, what: "export", run });
  return short.retry ? h(RetryShort, { short, retry: short.retry, run }) : null;
}

/**
 * Return the price of an export.
 *
 * @param {Offer | null | undefined} offer
 * @param {boolean} again whether the short was exported before
 */
const priceOf = (offer, again) => ({ price: offer?.price ?? null, estimated: offer?.estimated ?? false, again });

/** @param {{short: Short, retry: Retry, run: string[]}} props */
function RetryShort({ short: { name, is_whole: isWhole }, retry, run }) {
  const { details } = useContext(TabContext);
  const pays = retry.is_paid ? priceOf(details.offer, retry.is_again) : null;
  const verb = isWhole ? "Retry this video" : "Retry this short";
  const text = `${verb} · ${pays ? priceText(pays) : "free"}`;
  const work = () => repeat(run, retry);
  return h(ActionButton, { action: "clear", label: `${text}: ${name}`, pays, work }, text);
}

/** @type {Record<string, string>} */
const NO_WATERMARK = { src_url: "", pos_x: "0.5", pos_y: "0.5", scale: "1" };
/** The labels are those of the trigger form. */
const FIELDS = [
  ["src_url", "Watermark picture", "100%"],
  ["pos_x", "Horizontal position", "8rem"],
  ["pos_y", "Vertical position", "8rem"],
  ["scale", "Size", "8rem"],
];

/**
 * Named positions of the centre of the picture.
 *
 * @type {Record<string, string[]>}
 */
const POSITIONS = {
  "Top left": ["0.15", "0.1"],
  "Top right": ["0.85", "0.1"],
  "Bottom left": ["0.15", "0.9"],
  "Bottom right": ["0.85", "0.9"],
  Center: ["0.5", "0.5"],
};
const OTHER = "Other position";

/** @param {Record<string, any>} watermark */
const positionOf = ({ pos_x: x, pos_y: y }) =>
  Object.keys(POSITIONS).find((name) => POSITIONS[name].every((each, at) => Number(each) === Number([x, y][at]))) ??
  OTHER;

const UNCHANGED = "This is the current watermark. Change the address, position or size first.";
const NO_PICTURE = "This short has no watermark. Enter the address of a picture first.";
const isAddress = (/** @type {string} */ text) => /^https?:\/\/\S+$/.test(text);

/** Whether the server has shortened an address, because its query may be secret. */
const isShortened = (/** @type {string} */ text) => text.includes("?…");

const NO_ADDRESS = "The address of the picture must start with https:// or http://.";

/**
 * In a row of buttons: export a delivered short again, and pay again.
 *
 * @param {{short: Short, run: string[]}} props
 */
export function ExportAgain({ short, run }) {
  const { details, watermark } = useContext(TabContext);
  const why = useId();
  const [isOpen, setOpen] = useState(false);
  const given = /** @type {Record<string, any>} */ (watermark);
  const current = Object.keys(NO_WATERMARK).map((name) => [name, given[name] ?? NO_WATERMARK[name]]);
  const [wanted, setWanted] = useState(() => Object.fromEntries(current));
  const isUnchanged =
    current.every(([name, value]) => String(wanted[name]) === String(value)) || !(wanted.src_url || watermark?.src_url);
  const isSamePicture = wanted.src_url === (watermark?.src_url ?? "");
  const picture = wanted.src_url.trim();
  const isNoAddress = !isSamePicture && picture !== "" && !isAddress(picture);
  const refusal = isNoAddress ? NO_ADDRESS : isUnchanged && (watermark?.src_url ? UNCHANGED : NO_PICTURE);
  const pays = priceOf(details.offer, true);
  const price = ` · ${priceText(pays)}`;
  const toggle = {
    "aria-expanded": isOpen,
    "aria-label": `Export again…: ${short.name}`,
    onClick: () => setOpen(!isOpen),
  };

  const withWatermark = async () => {
    const { src_url: _, ...numbers } = wanted;
    const position = Object.fromEntries(Object.entries(numbers).map(([name, value]) => [name, Number(value)]));
    // The address of an unchanged picture is not sent: the browser has only the part that may be shown.
    const changed = isSamePicture ? {} : { src_url: picture || null };
    await exportMore(run, [short.id], { ...changed, ...position });
    setOpen(false);
  };
  const paid = short.export;
  const unchanged = async () => {
    if (paid !== null) await resolve(run, paid, null);
    setOpen(false);
  };
  const [pictureField, ...positionFields] = FIELDS.map(([name, label, width]) =>
    h(
      Stack,
      { as: "label", fontSize: "xs", gap: 1, key: name, width },
      label,
      h(Input, {
        onChange: (/** @type {any} */ event) => setWanted({ ...wanted, [name]: event.target.value }),
        placeholder: name === "src_url" ? "Empty: no watermark of yours" : undefined,
        size: "xs",
        type: name === "src_url" ? "url" : "number",
        step: "any",
        value: wanted[name],
      }),
    ),
  );
  return h(
    Question,
    null,
    h(SmallButton, toggle, "Export again…"),
    isOpen &&
      h(
        Stack,
        {
          "aria-label": `Export ${short.name} again`,
          as: "section",
          borderRadius: "md",
          borderWidth: 1,
          gap: 3,
          p: 3,
          ...BELOW,
        },
        h(
          Flex,
          { alignItems: "end", flexWrap: "wrap", gap: 2 },
          pictureField,
          h(
            Stack,
            { fontSize: "xs", gap: 1, width: "12rem" },
            "Position",
            h(Choice, {
              label: "Position",
              value: positionOf(wanted),
              options: [...Object.keys(POSITIONS), OTHER].map((name) => [name, name]),
              choose: (name) => {
                const [pos_x, pos_y] = POSITIONS[name] ?? [wanted.pos_x, wanted.pos_y];
                setWanted({ ...wanted, pos_x, pos_y });
              },
            }),
          ),
          ...positionFields,
        ),
        isAddress(picture) && !isShortened(picture) && h(WatermarkPreview, { short, run, picture, position: wanted }),
        h(
          ActionButton,
          {
            action: "start",
            describedBy: refusal ? why : undefined,
            disabled: Boolean(refusal),
            pays,
            work: withWatermark,
          },
          `Export with this watermark${price}`,
        ),
        refusal && h(Text, { color: "fg.muted", fontSize: "xs", id: why }, refusal),
        paid &&
          h(ActionButton, { action: "resolve", pays, work: unchanged }, `Export again with the same settings${price}`),
        h(
          Text,
          { color: "fg.muted", fontSize: "xs" },
          "Use the same settings after a change in Klap, such as another caption style. Klap bills each export again.",
        ),
      ),
  );
}
