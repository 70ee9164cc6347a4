// Trusts the answer of its POST: takes the folder from it, lists once at "ready", and exports without a body, all at once.

const api = process.env.KLAP_URL;
const authorization = `Bearer ${process.env.KLAP_KEY}`;
const call = async (path, init = {}) => {
  const answer = await fetch(api + path, { ...init, headers: { authorization, ...init.headers } });
  return answer.ok ? answer.json() : Promise.reject(new Error(`${path}: ${answer.status}`));
};
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const { id, output_id: folder } = await call("/tasks/video-to-shorts", {
  method: "POST",
  body: JSON.stringify({ source_video_url: process.env.VIDEO_URL, max_clip_count: 3, target_clip_count: 3 }),
});
while ((await call(`/tasks/${id}`)).status === "processing") await sleep(50);

const shorts = await call(`/projects/${folder}`);
shorts.sort((a, b) => b.virality_score - a.virality_score);
await Promise.all(shorts.map((short) => call(`/projects/${folder}/${short.id}/exports`, { method: "POST" })));

let exports;
do {
  await sleep(50);
  exports = await call(`/exports?folder_id=${folder}`);
} while (exports.some(({ status }) => status === "processing"));
for (const { src_url } of exports) console.log("VIDEO", src_url);
