/** A still of a short with the watermark at its position and in its size. */
import { h, Muted } from "./components.js";
import { FIT, videoUrl } from "./delivered.js";

const { useState } = globalThis.React;
const { Box, Stack } = globalThis.ChakraUI;

/**
 * @param {object} props
 * @param {Short} props.short
 * @param {string[]} props.run
 * @param {string} props.picture the picture's address
 * @param {Record<string, any>} props.position `pos_x` and `pos_y` of the picture's centre from 0 to 1, and its `scale`
 */
export function WatermarkPreview({ short, run, picture, position }) {
  const [videoWidth, setVideoWidth] = useState(0); // pixels
  const [loaded, setLoaded] = useState({ picture: "", width: 0 });
  const [missing, setMissing] = useState("");
  const video = videoUrl(run, short);
  const width = loaded.picture === picture && videoWidth ? (loaded.width * Number(position.scale)) / videoWidth : 0.2;
  /** @type {React.CSSProperties} */
  const placed = {
    left: `${100 * Number(position.pos_x)}%`,
    maxWidth: "none",
    position: "absolute",
    top: `${100 * Number(position.pos_y)}%`,
    transform: "translate(-50%, -50%)",
    width: `${100 * width}%`,
  };
  const still = {
    "aria-label": `Still of ${short.name}`,
    muted: true,
    onLoadedMetadata: (/** @type {any} */ event) => setVideoWidth(event.target.videoWidth),
    playsInline: true,
    preload: "metadata",
    src: `${video}#t=0.1`,
    style: FIT,
  };
  return h(
    Stack,
    { gap: 1 },
    h(
      Box,
      { aspectRatio: short.shape, bg: "bg.muted", overflow: "hidden", position: "relative", width: "9rem" },
      video && h("video", still),
      missing !== picture &&
        h("img", {
          alt: `Watermark on ${short.name}`,
          key: picture,
          onError: () => setMissing(picture),
          onLoad: (/** @type {any} */ event) => setLoaded({ picture, width: event.target.naturalWidth }),
          referrerPolicy: "no-referrer",
          src: picture,
          style: placed,
        }),
    ),
    h(
      Muted,
      null,
      missing === picture
        ? "This browser could not load the picture. Klap must be able to load it."
        : "Preview. Klap's result can differ slightly.",
    ),
  );
}
