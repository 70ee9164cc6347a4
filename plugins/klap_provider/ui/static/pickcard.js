/** A short that a person may pick, with Klap's player in place. */
import { Explanation, Score, Title, isSame } from "./card.js";
import { Icon, OutsideButton, Tick, h } from "./parts.js";
import { money } from "./words.js";

const { memo, useState } = globalThis.React;
const { Box, Button, Flex, Text } = globalThis.ChakraUI;

const PLAYER = "28rem"; // as high as a phone: the whole of a short is seen

/** `toggle` is told the id of a short that is picked or no longer picked. */
export const PickCard = memo(function PickCard({ short, price, isPicked, toggle }) {
  const [isOpen, setOpen] = useState(false);
  const cost = price === undefined ? "" : ` · ${money(price)}`;
  const words = short.exported ? "Export · exported before, free" : `Export${cost}`;
  const look = { bg: isPicked ? "bg.subtle" : "bg", borderColor: isPicked ? "brand.solid" : "border.emphasized" };
  return h(
    Flex,
    {
      as: "li",
      ...look,
      borderRadius: 8,
      borderWidth: 1,
      direction: isOpen ? "column" : "row",
      overflow: "hidden",
    },
    h(Preview, { short, isOpen, open: () => setOpen(true) }),
    h(
      Flex,
      { direction: "column", flex: 1, gap: 2, minWidth: 0, p: 3 },
      h(Title, { short }),
      h(Score, { short }),
      h(Explanation, { short }),
      short.leftOut && h(Text, { color: "fg.muted", fontSize: "sm" }, `Not proposed: ${short.leftOut.toLowerCase()}`),
      h(Box, { flex: 1 }),
      h(Tick, { isTicked: isPicked, label: `${words}: ${short.name}`, toggle: () => toggle(short.id) }, words),
      short.preview &&
        h(
          Box,
          null,
          h(
            OutsideButton,
            { href: short.preview, icon: "external", label: `Preview ${short.name} in Klap` },
            "Preview",
          ),
        ),
    ),
  );
}, isSame);

/** Klap's player, when somebody asks for it: a page of its own for each short would be too much at once. */
function Preview({ short, isOpen, open }) {
  const frame = { alignItems: "center", bg: "bg.muted", flexShrink: 0, justifyContent: "center" };
  const size = { minHeight: "256px", width: { base: "28", sm: "36" } };
  if (short.embed === null) {
    return h(Flex, { ...frame, ...size, color: "fg.subtle" }, h(Icon, { name: "short", size: 40 }));
  }
  if (isOpen) {
    const page = { allow: "autoplay; fullscreen", src: short.embed, title: `Klap's player of ${short.name}` };
    const whole = short.shape < 1 ? { height: PLAYER, maxWidth: "100%" } : { maxHeight: PLAYER, width: "100%" };
    return h(Flex, frame, h("iframe", { ...page, style: { aspectRatio: short.shape, border: 0, ...whole } }));
  }
  const play = { "aria-label": `Play ${short.name}`, onClick: open, variant: "ghost" };
  return h(Flex, { ...frame, ...size }, h(Button, play, h(Icon, { name: "short", size: 40 }), "Play"));
}
