// The live page of a node: what the node's event stream says, drawn.

const $ = (id) => document.getElementById(id);

/// The newest status, its live members, and how many files the fullest holds.
let status = null;
let alive = [];
let most = 0;

// --- Elements

/// Where CSS makes cards of a table, browsers forget what it means, unless told.
const ROLES = { thead: "rowgroup", tbody: "rowgroup", tr: "row", th: "columnheader", td: "cell" };

/// Names of files come from anybody, so text only ever becomes text nodes.
function fill(element, attributes, ...children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

const make = (tag, attributes = {}, ...children) =>
  fill(document.createElement(tag), ROLES[tag] ? { role: ROLES[tag], ...attributes } : attributes, ...children);
const draw = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, ...children);
const span = (kind, text) => make("span", { class: kind }, text);
const spot = (kind) => span(`mark ${kind}`, "");

/// One of many buttons that say the same; screen readers tell them apart by `about`.
const slim = (text, about, onclick, kind = "") =>
  make("button", { class: `slim ${kind}`, "aria-label": `${text}: ${about}`, onclick }, text);

const row = (columns, tag) =>
  make("tr", {}, ...columns.map(([head, kind]) => make(tag, { class: kind, "data-head": head }, ...(tag === "th" ? [head] : []))));

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/// Makes the last children of `parent` follow `items`, and leaves what is in its place: moved, it
/// would lose the focus.
function follow(parent, items, create, update = () => {}) {
  const before = parent.kept ?? new Map();
  const keyOf = (item) => item.address ?? item.name ?? item.why;
  parent.kept = new Map(items.map((item) => [keyOf(item), before.get(keyOf(item)) ?? create(item)]));
  for (const [key, element] of before) if (!parent.kept.has(key)) element.remove();
  let next = null;
  for (const item of items.toReversed()) {
    const element = parent.kept.get(keyOf(item));
    if (element.parentNode !== parent || element.nextSibling !== next) parent.insertBefore(element, next);
    update(element, item);
    next = element;
  }
}

// --- Words

const count = (number) => number.toLocaleString("en-GB");
const plural = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;
const orDash = (value, words) => (value === null ? "–" : words(value));
const nameOf = (address) => alive.find((member) => member.address === address)?.label ?? address;
const pathOf = (name) => `/${name.split("/").map(encodeURIComponent).join("/")}`;
const query = (parameters) => `?${new URLSearchParams(parameters)}`;

function size(bytes) {
  let unit = 0;
  for (; bytes >= 1024 && unit < 4; unit++) bytes /= 1024;
  return `${bytes.toFixed(unit && bytes < 100 ? 1 : 0)} ${["B", "KiB", "MiB", "GiB", "TiB"][unit]}`;
}

function when(ms, timeStyle = "short") {
  const date = new Date(ms);
  const today = date.toDateString() === new Date().toDateString();
  return date.toLocaleString("en-GB", { dateStyle: today ? undefined : "medium", timeStyle });
}

const timeOf = (ms, style) => make("time", { class: "quiet", datetime: new Date(ms).toISOString() }, when(ms, style));

function lasting(ms) {
  const seconds = Math.round(Math.abs(ms) / 1000);
  const units = { days: 86_400, h: 3600, min: 60, s: 1 };
  const unit = Object.keys(units).find((name) => seconds >= 2 * units[name]) ?? "s";
  return `${Math.floor(seconds / units[unit])} ${unit}`;
}

const clock = (ms) => (Math.abs(ms) < 500 ? "right" : `${lasting(ms)} ${ms > 0 ? "ahead" : "behind"}`);
const roundTrip = (us) => `${(us / 1000).toFixed(2)} ms`;

// --- The verdict

const CAUSES = {
  silent: "it did not answer in time",
  refused: "connection refused",
  broken: "its connection broke",
  restarted: "it was started anew",
};

/// What is wrong with a member, the worst first.
function problemsOf({ address, state, since_ms, cause, keeps, full, ready, files, clock_off_ms }) {
  if (state === "left") return [];
  if (state === "gone") {
    const detail = `since ${when(since_ms)}: ${CAUSES[cause] ?? "the reason is not known"}`;
    return [{ kind: "bad", word: "gone", why: `${address} is gone ${detail}`, detail }];
  }
  const problems = [];
  const add = (word, why) => problems.push({ kind: "warn", word, why });
  const who = nameOf(address);
  if (full) add("full", `${keeps === "disk" ? "Disk" : "Memory"} full at ${who}: it takes no more files`);
  if (ready === false && files !== null && files < most) add("catching up", `${who} is catching up: ${files} of ${plural(most, "file")}`);
  else if (ready === false) add("not ready", `${who} is not ready yet`);
  const off = Math.abs(clock_off_ms);
  if (off >= 30_000) add("clock off", `The clock of ${who} is ${clock(clock_off_ms)}${off < 60_000 ? "" : ", so it takes no writes"}`);
  return problems;
}

function showVerdict({ members, state, limits }) {
  const total = members.filter((member) => member.state !== "left").length;
  const problems = members.flatMap(problemsOf);
  const add = (why) => problems.push({ kind: "warn", why });
  if (state !== "member") add(`This node is ${state} the ring`);
  if (alive.length < limits.min_copies) add(`No file can be written: that needs ${limits.min_copies} live nodes`);
  // A change that is on its way round makes the numbers differ for a moment.
  const least = Math.min(...alive.map((member) => member.files ?? most));
  const same = new Set(alive.map((member) => member.digest)).size === 1;
  const many = least < most ? `which hold ${least} to` : same ? "all hold the same" : "each holds";
  const holds = total === 1 ? "it holds" : many;
  const nodes = total === 1 ? "1 node" : `${alive.length} of ${total} nodes`;
  setText($("verdict"), problems.length ? nodes : `${nodes}, ${holds} ${plural(most, "file")}`);
  follow($("problems"), problems, ({ kind, why }) => make("li", {}, spot(kind), why));
  document.title = `${nodes} · smolring`;
  // Numbers of files change too often to be announced.
  setText($("announcement"), [nodes, ...problems.map(({ word, why }) => (word === "catching up" ? word : why))].join("; "));
}

// --- The table of nodes

/// Each with its class, what of a member is in it, and how that is said.
const NODE_COLUMNS = [
  ["Node", "node"],
  ["State", "state"],
  ["Next", "", "next", nameOf],
  ["Files", "number", "files", count],
  ["Store", "number", "bytes", size],
  ["Round trip", "number", "round_trip_us", roundTrip],
  ["Keeps on", "", "keeps", String],
  ["Version", "", "version", String],
  ["Up for", "number", "started_ms", (ms) => lasting(status.now_ms - ms)],
  ["Clock", "", "clock_off_ms", clock],
];

function nodeRow({ address, self }) {
  const cells = row(NODE_COLUMNS, "td");
  cells.firstChild.append(make("b"), make("a", { class: "mono", href: `http://${address}/_ring/` }, address),
    span("tag", self ? "this node" : ""));
  return make("tbody", {}, cells);
}

function showNode(body, member) {
  const [node, state, ...others] = body.firstChild.children;
  body.className = member.state;
  setText(node.firstChild, member.label ?? "");
  const { kind, word, detail = "" } = problemsOf(member)[0] ??
    { kind: member.state, word: member.state, detail: member.since_ms ? `since ${when(member.since_ms)}` : "" };
  if (state.textContent !== word + detail) state.replaceChildren(spot(kind), word, span("quiet", detail));
  others.forEach((cell, index) => {
    const [, , key, words] = NODE_COLUMNS[index + 2];
    setText(cell, orDash(member[key], words));
  });
}

// --- The ring, with its centre at 0, 0

const [track, dotLayer, nodeLayer, awayLayer] = ["g", "g", "g", "g"].map((tag) => draw(tag));
let radius = 0;
/// The angle of each live node, by address.
let angles = new Map();
const at = (angle) => [radius * Math.cos(angle), radius * Math.sin(angle)];
const line = (kind, text = "", place = {}) => draw("text", { class: kind, ...place }, text);
const moveTo = (shape, [x, y]) => (shape.style.transform = `translate(${x}px, ${y}px)`);

function showRing() {
  const gone = status.members.filter((member) => member.state === "gone");
  const width = Math.max(280, $("ring").clientWidth);
  const longest = Math.max(...alive.map(({ address }) => address.lastIndexOf(":"))) * 7.6;
  radius = Math.max(64, Math.min(112, width / 2 - longest - 48));
  const half = radius + 76;
  $("ring").setAttribute("viewBox", [-width / 2, -half, width, 2 * half + gone.length * 40]);
  angles = new Map(alive.map(({ address }, index) => [address, (2 * index / alive.length - 0.5) * Math.PI]));
  const nodeRadius = alive.length < 2 ? 24 : Math.min(24, radius * Math.sin(Math.PI / alive.length) * 0.62);
  drawTrack((nodeRadius + 6) / radius);
  follow(nodeLayer, alive, nodeShape, (shape, member) => placeNode(shape, member, nodeRadius));
  follow(awayLayer, gone, awayShape, (shape, member) => moveTo(shape, [-50, half + 20 + gone.indexOf(member) * 40]));
}

function drawTrack(gap) {
  track.replaceChildren();
  for (const angle of angles.values()) {
    const end = angle + (2 * Math.PI) / angles.size - gap;
    const arc = [radius, radius, 0, angles.size < 2 ? 1 : 0, 1, at(end)];
    track.append(draw("path", { class: "track", d: `M${at(angle + gap)} A${arc}` }),
      draw("path", { class: "head", d: "M-9 -4.5L1 0L-9 4.5Z", transform: `translate(${at(end)}) rotate(${end * 180 / Math.PI + 87})` }));
  }
}

function nodeShape({ address }) {
  const port = address.lastIndexOf(":");
  return draw("g", {}, draw("circle"), line("name"), line("host", address.slice(0, port)), line("port", address.slice(port)), line("word"));
}

function placeNode(shape, member, nodeRadius) {
  const problem = problemsOf(member)[0];
  const angle = angles.get(member.address);
  shape.setAttribute("class", `node ${member.self ? "self" : ""} ${problem?.kind ?? ""}`);
  moveTo(shape, at(angle));
  const [circle, name, ...lines] = shape.children;
  circle.setAttribute("r", nodeRadius);
  setText(name, member.label ?? "");
  name.style.fontSize = `${Math.min(14, nodeRadius * 0.6)}px`;
  setText(lines[2], problem?.word ?? "");
  // The address is beside the node: above it at the top, below it at the bottom.
  const [x, y] = [Math.cos(angle), Math.sin(angle)];
  const side = Math.abs(x) < 0.3 ? "middle" : x > 0 ? "start" : "end";
  const rows = problem ? 2 : 1;
  const top = y * (nodeRadius + 12) + (side !== "middle" ? 4 - 7.5 * rows : y < 0 ? -15 * rows : 10);
  lines.forEach((text, index) => fill(text, { "text-anchor": side, x: x * (nodeRadius + 20), y: top + index * 15 }));
}

const awayShape = ({ address }) => draw("g", { class: "away" }, draw("circle", { r: 9 }), draw("path", { d: "M-3 -3l6 6m0 -6l-6 6" }),
  line("host", address, { x: 16, y: -1 }), line("word", "gone", { x: 16, y: 13 }));

// --- Messages on their way round

const dots = new Set();

function showMessage({ verb, name, creator, bytes }) {
  if (verb !== "CHECK") {
    setText($("caption"), `${verb} ${name ?? ""} from ${nameOf(creator)}${bytes === null ? "" : `, ${size(bytes)}`}`);
  }
  const start = angles.get(creator);
  // There is always a CHECK on its way; it leaves room for the others.
  const room = verb === "CHECK" ? 3 : 12;
  if (start === undefined || dots.size >= room || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  const label = verb === "PUT" ? (name ?? "").slice(-22) : "";
  const shape = draw("g", { class: `dot ${verb}` }, draw("circle"), line("", label));
  dots.add({ shape, start, label, began: performance.now(), lasts: Math.min(4000, 1000 + 400 * alive.length) });
  dotLayer.append(shape);
  if (dots.size === 1) requestAnimationFrame(moveDots);
}

function moveDots(now) {
  for (const dot of dots) {
    const part = Math.max(0, now - dot.began) / dot.lasts;
    const angle = dot.start + part * 2 * Math.PI;
    moveTo(dot.shape, at(angle));
    // The name stays inside of the ring, whichever side the dot is on.
    const x = -32 * Math.cos(angle) - dot.label.length * 3.75 * (1 + Math.cos(angle));
    fill(dot.shape.lastChild, { x, y: -32 * Math.sin(angle) });
    if (part < 1) continue;
    dots.delete(dot);
    dot.shape.remove();
  }
  if (dots.size) requestAnimationFrame(moveDots);
}

// --- Events

function showNews({ at_ms, level, text }, id) {
  const list = $("news");
  const key = `${id} ${at_ms}`;
  // A stream that begins anew brings old news again.
  if ([...list.children].some((item) => item.key === key)) return;
  const item = make("li", {}, spot(level), timeOf(at_ms, "medium"), span("unseen", `${level}: `), text);
  item.key = key;
  list.prepend(item);
  if (list.children.length > 50) list.lastChild.remove();
}

// --- Asking the node

async function ask(method, url, headers) {
  const answer = await fetch(url, { method, headers: { accept: "application/json", ...headers } });
  const body = await answer.text();
  if (!answer.ok) throw new Error(reason(answer.status, body));
  return body && JSON.parse(body);
}

/// Why a request failed, if possible in the node's own words.
function reason(code, body) {
  try {
    return JSON.parse(body).detail;
  } catch {
    return `the node answers with status ${code}`;
  }
}

function notify(text, label, run) {
  const item = make("li", {}, span("", text));
  const add = (kind, words, then) => item.append(make("button", { class: kind, onclick: () => (item.remove(), keepFocus(), then?.()) }, words));
  if (label) add("", label, run);
  add("slim", "Dismiss");
  $("notices").append(item);
  if (label) item.children[1].focus({ preventScroll: true });
  // It stays while somebody is about to use it.
  const expire = () => (item.matches(":hover, :has(:focus-visible)") ? setTimeout(expire, 2000) : item.remove());
  setTimeout(expire, 12_000);
}

/// A button that vanishes takes the focus with it.
const keepFocus = () => $("files-title").focus({ preventScroll: true });
const attempt = (what, work) => work().catch(({ message }) => notify(`${what}: ${message}`));

// --- Files

const FILE_COLUMNS = [["Name", "file"], ["Size", "number"], ["Written", ""], ["Hash", "mono"], ["Actions", "actions"]];
const PAGE = 25;
const listing = { turn: 0, wanted: PAGE, seen: "", timer: 0 };

function reloadFiles(delay = 0) {
  clearTimeout(listing.timer);
  listing.timer = setTimeout(() => attempt("The files are not loaded", loadFiles), delay);
}

async function loadFiles() {
  const turn = ++listing.turn;
  const contains = $("search").value;
  const files = [];
  let after = "";
  // A page may be short, and even empty, before the last one.
  do {
    const page = await ask("GET", `/_ring/files${query({ contains, limit: listing.wanted - files.length, ...(after && { after }) })}`);
    if (turn !== listing.turn) return;
    files.push(...page.files);
    after = page.next;
  } while (after && files.length < listing.wanted);
  follow($("files"), files, fileRow, showFile);
  $("more").hidden = !after;
  setText($("files-empty"), files.length ? "" : "No files");
}

function fileRow({ name }) {
  const cells = row(FILE_COLUMNS, "td");
  const body = make("tbody", {}, cells);
  cells.firstChild.append(make("a", { href: pathOf(name) }, name));
  cells.lastChild.append(slim("Versions", name, ({ target }) => toggleVersions(body, target)),
    slim("Delete", name, () => remove(body.file), "writes"));
  cells.lastChild.firstChild.ariaExpanded = false;
  return body;
}

function showFile(body, file) {
  if (body.file?.version === file.version) return;
  body.file = file;
  const [, bytes, written, hash] = body.firstChild.children;
  setText(bytes, size(file.bytes));
  written.replaceChildren(timeOf(file.modified_ms));
  setText(hash, file.blake3.slice(0, 8));
  if (body.rows[1]) loadVersions(body);
}

function toggleVersions(body, button) {
  const open = !body.rows[1];
  button.ariaExpanded = open;
  if (!open) return body.rows[1].remove();
  body.append(make("tr", { class: "details" }, make("td", { colspan: 5 }, make("ul", { class: "versions" }))));
  loadVersions(body);
}

const loadVersions = ({ file: { name }, rows }) => attempt(`The versions of ${name} are not loaded`, async () => {
  const list = rows[1].querySelector("ul");
  const { versions } = await ask("GET", `/_ring/versions${query({ name })}`);
  list.replaceChildren(...versions.map((version, index) => versionItem(name, version, index === 0)));
});

function versionItem(name, { version, modified_ms, bytes, deleted }, newest) {
  const time = timeOf(modified_ms, "medium");
  if (deleted || bytes === null) return make("li", {}, time, span("quiet", deleted ? "deleted" : "no longer kept"));
  return make("li", {}, time, make("a", { class: "mono", href: pathOf(name) + query({ version }) }, version), size(bytes),
    newest ? span("tag", "newest") : slim("Restore", `${name} of ${time.innerText}`, () => restore(name, version), "writes"));
}

// What somebody else has written meanwhile is not deleted unseen.
const remove = ({ name, version, blake3 }) => attempt(`${name} is not deleted`, async () => {
  await ask("DELETE", pathOf(name), { "If-Match": `"${blake3}"` });
  notify(`Deleted ${name}.`, "Undo", () => restore(name, version));
  reloadFiles();
});

const restore = (name, version) => attempt(`${name} is not restored`, async () => {
  await ask("POST", `/_ring/restore${query({ name, version })}`);
  notify(`Restored ${name}.`);
  reloadFiles();
});

// --- Uploads

const uploads = { waiting: [], running: new Set(), all: 0, done: 0 };

function upload(files) {
  const folder = $("folder").value.split("/").filter(Boolean);
  uploads.waiting.push(...files.map(([path, file]) => [[...folder, path].join("/"), file]));
  uploads.all += files.length;
  moveUploads();
}

function moveUploads() {
  while (uploads.running.size < 2 && uploads.waiting.length) send(...uploads.waiting.shift());
  setText($("uploads-count"), `${uploads.done} of ${uploads.all} done`);
  // Of many files only the newest stay, and those that failed.
  [...$("upload-list").querySelectorAll(".done")].slice(5).forEach((item) => item.remove());
}

function send(name, file) {
  const request = new XMLHttpRequest();
  const bar = make("progress", { max: 1, value: 0, "aria-label": name });
  const state = span("quiet", "0 %");
  const cancel = slim("Cancel", name, () => request.abort());
  const item = make("li", {}, span("", name), state, cancel, bar);
  const end = (failure, copies) => {
    uploads.running.delete(request);
    if (!failure) uploads.done++;
    cancel.remove();
    bar.remove();
    item.className = failure ? "" : "done";
    setText(state, failure ? "failed" : `on ${plural(Number(copies), "node")}`);
    item.append(span("failed", failure));
    moveUploads();
    reloadFiles(300);
  };
  request.upload.onprogress = ({ loaded, total }) => {
    bar.value = loaded / total;
    setText(state, `${Math.round(bar.value * 100)} %`);
  };
  request.onload = () =>
    end(request.status < 300 ? "" : reason(request.status, request.responseText), request.getResponseHeader("Smolring-Copies"));
  request.onerror = () => end("the node does not answer");
  request.onabort = () => end("cancelled");
  uploads.running.add(request);
  $("upload-list").prepend(item);
  const limit = status?.limits.max_file_bytes;
  if (limit && file.size > limit) return end(`it has ${size(file.size)}; a file has at most ${size(limit)}`);
  request.open("PUT", pathOf(name));
  request.setRequestHeader("Accept", "application/json");
  request.send(file);
}

function clearUploads() {
  uploads.waiting = [];
  uploads.running.forEach((request) => request.abort());
  Object.assign(uploads, { all: 0, done: 0 });
  $("upload-list").replaceChildren();
  keepFocus();
  moveUploads();
}

/// All files below an entry of a drop, each with its path.
async function filesBelow(entry) {
  const promised = (from, call) => new Promise((done, fail) => from[call](done, fail));
  if (entry.isFile) return [[entry.fullPath.slice(1), await promised(entry, "file")]];
  const reader = entry.createReader();
  const found = [];
  // A reader gives a part at a time, and at the end nothing.
  for (;;) {
    const entries = await promised(reader, "readEntries");
    if (!entries.length) return found;
    for (const inner of entries) found.push(...await filesBelow(inner));
  }
}

function take({ items }) {
  // After the first await the list is empty.
  const found = [...items].filter((item) => item.kind === "file").map((item) => {
    const [entry, file] = [item.webkitGetAsEntry(), item.getAsFile()];
    return entry ? filesBelow(entry) : [[file.name, file]];
  });
  attempt("What was dropped cannot be read", async () => upload((await Promise.all(found)).flat()));
}

function onDrag(event) {
  if (!event.dataTransfer?.types.includes("Files")) return;
  // Otherwise the browser leaves the page for the file.
  event.preventDefault();
  const over = event.type === "dragleave" ? event.relatedTarget : event.type !== "drop";
  $("drop").hidden = !over || !status?.writable;
  if (event.type === "drop" && status?.writable) take(event.dataTransfer);
}

// --- The stream

let source = null;
let lostAt = null;

function connect() {
  source?.close();
  source = new EventSource("/_ring/events");
  source.onopen = () => setLost(null);
  source.onerror = lost;
  for (const [kind, show] of Object.entries({ status: showStatus, news: showNews, message: showMessage })) {
    source.addEventListener(kind, ({ data, lastEventId }) => show(JSON.parse(data), lastEventId));
  }
}

function setLost(ms, words = "") {
  lostAt = ms;
  setText($("stale"), words);
}

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
/// An answer that this page may not read is an answer, too.
const answers = (origin) => fetch(`${origin}/_ring/health`, { mode: "no-cors", cache: "no-store", signal: AbortSignal.timeout(2000) })
  .then(() => true, () => false);

async function lost() {
  if (lostAt) return;
  const began = Date.now();
  setLost(began);
  await sleep(3000);
  if (lostAt !== began) return;
  const others = alive.filter((member) => !member.self);
  setLost(began, `Stale since ${when(began)}: this node does not answer${others.length ? "; trying the others" : ""}.`);
  for (;;) {
    await sleep(2000);
    if (lostAt !== began) return;
    // A node that answers is not left, even if its stream is not back yet.
    if (await answers("")) {
      connect();
      continue;
    }
    for (const { address } of others) {
      if (await answers(`http://${address}`)) return location.assign(`http://${address}/_ring/#from=${status.node}`);
    }
  }
}

/// A machine that vanishes does not end its connections, so the node is asked now and then.
const watch = async () => lostAt || await answers("") || lost();

function showStatus(news) {
  status = news;
  alive = status.members.filter((member) => member.state === "alive");
  most = Math.max(0, ...alive.map((member) => member.files));
  setText($("here"), [...new Set([nameOf(status.node), status.node])].join(" · "));
  document.body.classList.toggle("read-only", !status.writable);
  showVerdict(status);
  const { files, bytes, round_trip_us } = status;
  [count(files), size(bytes), orDash(round_trip_us, roundTrip), status.ring]
    .forEach((text, index) => setText(document.querySelectorAll("dd")[index], text));
  follow($("nodes"), status.members, nodeRow, showNode);
  showRing();
  const seen = `${files} ${status.digest}`;
  if (seen !== listing.seen) reloadFiles(listing.seen ? 300 : 0);
  listing.seen = seen;
}

$("app").hidden = false;
$("ring").append(track, dotLayer, nodeLayer, awayLayer);
$("nodes").append(make("thead", {}, row(NODE_COLUMNS, "th")));
$("files").append(make("thead", {}, row(FILE_COLUMNS, "th")));
$("search").oninput = () => ((listing.wanted = PAGE), reloadFiles(200));
$("more").onclick = () => ((listing.wanted += PAGE), reloadFiles());
$("uploads-clear").onclick = clearUploads;
$("pick").onchange = ({ target }) => {
  upload([...target.files].map((file) => [file.name, file]));
  // So that the same file can be chosen again.
  target.value = "";
};
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) addEventListener(kind, onDrag);
new ResizeObserver(() => status && showRing()).observe($("ring"));
if (location.hash.startsWith("#from=")) {
  notify(`Came here from ${location.hash.slice(6)}, which does not answer.`);
  history.replaceState(null, "", location.pathname);
}
setInterval(watch, 10_000);
connect();
