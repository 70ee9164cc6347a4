// Keeps customers apart with managed users, names them on the POSTs alone, and embeds the player with their token.

const { KLAP_URL, KLAP_ROOT, KLAP_KEY, VIDEO_URL } = process.env;
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

async function klap(method, path, { body, customer } = {}) {
  const headers = { authorization: `Bearer ${KLAP_KEY}`, "content-type": "application/json; charset=utf-8" };
  if (customer) headers["x-on-behalf-of"] = customer;
  const reply = await fetch(KLAP_URL + path, { method, headers, body: body && JSON.stringify(body) });
  if (!reply.ok) throw new Error(`${method} ${path}: ${reply.status} ${await reply.text()}`);
  return reply.json();
}

async function finished(path) {
  for (;;) {
    const job = await klap("GET", path);
    if (job.status === "ready") return job;
    if (job.status === "error") throw new Error(`${path} failed: ${job.message}`);
    await pause(50);
  }
}

const { id: customer, organizationId, isGuest } = await klap("POST", "/users", { body: {} });
if (!organizationId || isGuest !== true) throw new Error("the user is not in our organization");
const { external_access_token: token } = await klap("POST", `/users/${customer}/tokens`, { body: {} });

const request = { source_video_url: VIDEO_URL, language: "auto", max_clip_count: 2 };
const posted = await klap("POST", "/tasks/video-to-shorts", { body: request, customer });
const { output_id: folder } = await finished(`/tasks/${posted.id}`);
for (const { id, author_id } of await klap("GET", `/projects/${folder}`)) {
  if (author_id !== customer) throw new Error(`${id} belongs to ${author_id}`);
  const page = await fetch(`${KLAP_ROOT}/embed/${id}#external_access_token=${token}`);
  if (!page.ok) throw new Error(`the player answers ${page.status}`);
  const job = await klap("POST", `/projects/${folder}/${id}/exports`, { body: {}, customer });
  console.log("VIDEO", (await finished(`/projects/${folder}/${id}/exports/${job.id}`)).src_url);
}
