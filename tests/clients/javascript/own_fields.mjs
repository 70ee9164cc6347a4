// Fills in every field of its form, empty or not, sends some that only Klap's own app has, and flags for a watermark.

import { setTimeout as pause } from "node:timers/promises";

const form = {
  source_video_url: process.env.VIDEO_URL,
  name: "Épisode 12 — 東京 🚀",
  language: "auto",
  translate_to: null,
  style_preset_id: null,
  dimensions: null,
  max_clip_count: 2,
  min_duration: null,
  max_duration: 30,
  preset_id: "d0c5f9a4",
  editing_options: { captions: true, intro_title: null, width: 1080, height: 1920, emojis: false },
};

class Klap {
  constructor(url, key) {
    this.url = `${url}/`; // and every path begins with a slash, too
    this.headers = {
      Authorization: `Bearer ${key}`,
      Accept: "application/json",
      "Content-Type": "text/plain;charset=UTF-8",
    };
  }

  get = async (path) => (await fetch(this.url + path, { headers: this.headers })).json();

  post = async (path, data) => {
    const options = { method: "POST", headers: this.headers, body: JSON.stringify(data) };
    const reply = await fetch(this.url + path, options);
    if (reply.status >= 400) throw new Error(await reply.text());
    return reply.json();
  };

  until = async (path) => {
    let job = await this.get(path);
    while (!["ready", "error"].includes(job.status)) {
      await pause(50);
      job = await this.get(path);
    }
    return job;
  };
}

const klap = new Klap(process.env.KLAP_URL, process.env.KLAP_KEY);
const task = await klap.post("/tasks/video-to-shorts", form);
const { output_id: folder } = await klap.until(`/tasks/${task.id}`);
const shorts = await klap.get(`/projects/${folder}`);
const flags = [false, true];
for (const [place, short] of shorts.entries()) {
  const settings = { watermark: flags[place], preset_id: "d0c5f9a4", quality: "1080p" };
  const job = await klap.post(`/projects/${folder}/${short.id}/exports`, settings);
  const done = await klap.until(`/projects/${folder}/${short.id}/exports/${job.id}`);
  console.log("VIDEO", done.src_url);
}
