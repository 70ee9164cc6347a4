/** The responses of the plugin to GET. tests/support/response_types.py compares those of tests with these types. */

/** A task instance, with the state and try that an action is based on. */
type TaskRef = { task_id: string; map_index: number; id: string; state: string | null; try_number: number };

/** A price in US dollars; null if it is unknown. */
type Price = { price: number | null; estimated: boolean };
type Cost = { total: number; estimated: boolean; is_sum: boolean };
type Offer = { price: number; estimated: boolean; covered: number | null; deadline: string | null };

/** A paid request that the user has to resolve. `version` is that of its ledger entry. */
type Doubt = {
  is_changed: boolean;
  entry: string;
  sent_at: string | null;
  jobs: string[];
  price: number | null;
  estimated: boolean;
  task: TaskRef;
  version: string;
};
type PaidExport = { task: TaskRef; entry: string; version: string };
type Retry = { tasks: TaskRef[]; is_paid: boolean; is_again: boolean };

/** A short of a run. Times are in ISO 8601, `shape` is width by height. */
type Short = {
  id: string;
  name: string;
  score: number | null;
  explanation: string | null;
  seconds: number | null;
  preview: string | null;
  embed: string | null;
  exported: boolean;
  left_out: string | null;
  state: string | null;
  text: string;
  error: string | null;
  in_doubt: Doubt | null;
  retry: Retry | null;
  export: PaidExport | null;
  watermark: string | null;
  video: string | null;
  path: string | null;
  stored: boolean;
  bytes: number | null;
  log: TaskRef | null;
  is_whole: boolean;
  shape: number;
};

type Stage = {
  state: string | null;
  text: string;
  since: string | null;
  error: string | null;
  in_doubt: Doubt | null;
  log: TaskRef | null;
  review_task: TaskRef | null;
};
type Question = { task: TaskRef; options: Record<string, string>; none: string; asked_at: string };
type NextStep = {
  tasks: TaskRef[];
  is_paid: boolean;
  is_again: boolean;
  needs_change: boolean;
  price: number | null;
  estimated: boolean;
};
type Details = {
  is_whole: boolean;
  ended: boolean;
  name: string | null;
  is_named: boolean;
  source: { text: string; href: string | null } | null;
  klap_task_id: string | null;
  offer: Offer | null;
  stage: Stage;
  question: Question | null;
  percent: number | null;
  totals: { label: string; value: string }[];
  cost: Cost | null;
  cost_at_most: number | null;
  delivered: number;
  review: { by: string; text: string; at: string | null } | null;
  next_step: NextStep | null;
  shorts: Short[];
};

type BatchVideo = {
  dag_id: string;
  run_id: string;
  line: number | null;
  name: string;
  label: string;
  state: string | null;
  error: string | null;
  cost: number | null;
  estimated: boolean;
};
type LeftOut = { line: number | null; source_video_url: string; reason: string };
type Batch = { ended: boolean; problem: string | null; videos: BatchVideo[]; left_out: LeftOut[] };

type Watermark = { src_url?: string | null; pos_x?: number | null; pos_y?: number | null; scale?: number | null };
type FollowUp = {
  dag_id: string;
  run_id: string;
  title: string;
  at: string;
  state: string;
  ended: boolean;
  project_ids: string[];
  watermark: Watermark;
  details: Details | null;
};

/** `api/dags/{dag_id}/runs/{run_id}/shorts`. `refresh` is in seconds, 0 for never. */
type RunView = {
  run: { dag_id: string; run_id: string; state: string };
  refresh: number;
  may_read_xcoms: boolean;
  details: Details | null;
  batch: Batch | null;
  follow_ups: FollowUp[];
  form: { can_export: boolean; is_paused: boolean };
  watermark: Watermark;
  problems: string[];
};

/** `api/dags/{dag_id}/runs/{run_id}/shorts/{id}/texts`: what was delivered beside a video, which may be anything. */
type StoredTexts = { publication_captions?: Record<string, unknown> | null; transcript?: string | null };

/** `api/videos`. */
type VideoRun = {
  dag_id: string;
  run_id: string;
  name: string;
  note: string | null;
  state: string;
  at: string;
  by: string | null;
  shorts: number;
  best: number | null;
  cost: number | null;
  estimated: boolean;
  budget: number | null;
  batch: number;
};
type Videos = { videos: VideoRun[]; more: boolean; searched: number | null; dag_ids: string[]; refresh: number };

/** `api/shorts`. */
type DeliveredShort = {
  dag_id: string;
  run_id: string;
  run_name: string | null;
  id: string;
  name: string;
  score: number | null;
  video: string | null;
  at: string;
  size: number;
  path: string;
  cost: number | null;
  estimated: boolean;
  settings: string | null;
};
type DeliveredShorts = {
  shorts: DeliveredShort[];
  total: number;
  cost: number;
  estimated: boolean;
  dag_ids: string[];
  since: string;
};

/** `api/payments`. */
type Payment = {
  at: string;
  video: string;
  what: string | null;
  settings: string | null;
  dag_id: string;
  run_id: string;
  run_name: string | null;
  cost: number;
  estimated: boolean;
};
type Payments = {
  payments: Payment[];
  total: number;
  cost: number;
  estimated: boolean;
  dag_ids: string[];
  run_name: string | null;
  since: string;
};

/** `api/spending`. */
type DagCost = {
  dag_id: string;
  runs: number;
  cost: number;
  estimated: boolean;
  budget: number | null;
  budgeted: number | null;
};
type MonthlyLimit = { kind: "connection" | "dag"; name: string; limit: number; used: number; warns: boolean };
type DayCost = { day: string; dag_id: string; cost: number };
type Spending = { days: DayCost[]; dags: DagCost[]; since: string; limits: MonthlyLimit[] };

/** `api/reviews`. */
type OpenReview = {
  dag_id: string;
  run_id: string;
  subject: string;
  video: string | null;
  at: string;
  until: string | null;
};
type Reviews = { reviews: OpenReview[]; refresh: number };

/** `api/sources`. */
type SourceItem = { id: string; title: string; at: string | null; reason: string | null; run_id: string };
type Source = {
  name: string;
  dag_id: string;
  trigger_dag_id: string | null;
  checked_at: string | null;
  error: string | null;
  next_start: string | null;
  paused: string | null;
  waits: number;
  waiting: SourceItem[];
  started: SourceItem[];
  skipped: SourceItem[];
};
type Sources = { sources: Source[]; refresh: number };
