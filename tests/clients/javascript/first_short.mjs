// Exports only the first short. Knows no status but "processing", reads no HTTP code of a GET, and sleeps after each
// poll, the last one too. Reads the short again before it exports it, with a watermark from another host.

const { KLAP_URL: base, KLAP_KEY: key, VIDEO_URL: video } = process.env;
const bearer = { Authorization: `Bearer ${key}` };
const interval = 100;

const read = (path) => fetch(base + path, { headers: bearer }).then((answer) => answer.json());

const create = async (path, fields) => {
  const headers = { ...bearer, "Content-Type": "application/json" };
  const answer = await fetch(base + path, { method: "POST", headers, body: JSON.stringify(fields) });
  const result = await answer.json();
  if (!answer.ok) throw result;
  return result;
};

const finish = async (path) => {
  for (;;) {
    const job = await read(path);
    await new Promise((wake) => setTimeout(wake, interval));
    if (job.status === "error") throw new Error(`${path} failed`);
    if (job.status !== "processing") return job;
  }
};

const fields = { source_video_url: video, language: "en", max_duration: 30, max_clip_count: 2 };
const submitted = await create("/tasks/video-to-shorts", { ...fields, editing_options: { intro_title: false } });
const { output_id: folder } = await finish(`/tasks/${submitted.id}`);

const [first] = await read(`/projects/${folder}`);
const short = await read(`/projects/${first.folder_id}/${first.id}`);
const exports = `/projects/${folder}/${short.id}/exports`;
const watermark = { src_url: "https://logos.example.com/ours.png", pos_x: 0.5, pos_y: 0.5, scale: 1 };
const started = await create(exports, { watermark });
console.log("VIDEO", (await finish(`${exports}/${started.id}`)).src_url);
