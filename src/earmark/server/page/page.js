// The page's story: a sound comes in, is tagged by the engine, drawn, heard, judged against thresholds, saved. Every
// text that comes from a file, a tagger or a server is set as text, never as HTML.

import { Bars } from "./bars.js";
import * as engine from "./engine.js";
import { download, FORMATS } from "./export_files.js";
import { offerKeeping } from "./keeping.js";
import { openLive } from "./live.js";
import { atRest, clear, note, progress, say, showProblem, showWarnings } from "./notices.js";
import { axis, clock, Picture, showKilohertz } from "./picture.js";
import { Player } from "./player.js";
import { Problem } from "./problems.js";
import { asserted, limits, uncalibrated } from "./reader.js";
import { switchScheme } from "./scheme.js";
import { decode } from "./sound.js";
import { Timeline } from "./timeline.js";
import { rowOf, strongest, verdict, verdictNow, whole, windowAt } from "./verdict.js";
import { View } from "./view.js";
import { writeWav } from "./wav.js";

const LIVE_SECONDS = 30; // shown of what the microphone hears
const LIVE_STEP_MS = 100;
const LONGEST_LIVE_SECONDS = 3600;
const ZOOM_FROM_SECONDS = 15; // shorter sounds are shown whole
const $ = (id) => document.getElementById(id);
const state = {
  tagger: null, // the chosen one
  by: null, // the one that what is shown was heard by
  given: null, // the file that was given, to be heard again by another tagger
  name: "",
  heard: null, // {starts, ends, scores, clip, warnings} of what was heard
  seconds: 0,
  picture: null,
  work: null, // AbortController of what is going on
  live: null,
};
let taggers = [];

const view = new View(draw);
const player = new Player(stepped);
const bars = new Bars({ body: $("bars"), play: playStrongest });
const timeline = new Timeline({ list: $("lanes"), all: $("all-lanes"), play: playStretch, say });

// ---- beginning

async function begin() {
  $("where").textContent = engine.WHERE;
  offerKeeping($("offline"), engine.offline, { note, fail });
  try {
    taggers = await engine.taggers();
  } catch (error) {
    return fail(error);
  }
  clear();
  $("taggers").replaceChildren(
    ...taggers.map(({ name }) => Object.assign(document.createElement("option"), { textContent: name })),
  );
  $("choice").hidden = false;
  $("taggers").hidden = taggers.length === 1;
  $("choose").disabled = $("microphone").disabled = false;
  chooseTagger();
}

function chooseTagger() {
  const tagger = (state.tagger = taggers[Math.max($("taggers").selectedIndex, 0)]);
  const labels = `${tagger.labels.length} label${tagger.labels.length === 1 ? "" : "s"}`;
  const one = taggers.length === 1 ? `${tagger.name}: ` : "";
  $("facts").textContent =
    `${one}${labels}, hears up to ${tagger.sample_rate / 2000} kHz, ${tagger.window_seconds} s at a time`;
  if (state.given) hear(state.given);
}

// ---- a file

async function hear(file) {
  await stopLive();
  const [tagger, work] = [state.tagger, begun(file.name)];
  const options = { signal: work.signal, progress: (share) => progress("Listening", share) };
  state.given = file;
  progress("Reading");
  const sound = decode(file, tagger.sample_rate, { signal: work.signal });
  const isHearable = player.open(file);
  const drawn = sound.then(
    ({ samples, sampleRate }) => work.signal.aborted || show({ samples: () => samples, sampleRate }),
    (error) => (error instanceof Problem ? null : Promise.reject(error)), // the engine says what is to be said
  );
  drawn.catch(() => {});
  try {
    const heard = await engine.tag({ file, sound }, tagger, options);
    if (work.signal.aborted) return;
    const isDrawn = await drawn;
    if (work.signal.aborted) return;
    if (!isDrawn)
      heard.asides = ["This browser cannot read the format: the sound is tagged, but cannot be drawn here."];
    $("play").disabled = !(await isHearable);
    finish(heard);
  } catch (error) {
    if (!work.signal.aborted) fail(error);
  }
}

// What was there before goes; what is begun can be cancelled.
function begun(name) {
  state.work?.abort();
  state.work = new AbortController();
  Object.assign(state, { name, by: state.tagger, heard: null, picture: null, given: null });
  player.close();
  bars.clear();
  clear();
  document.body.classList.add("has-sound");
  $("heard").hidden = true;
  $("name").textContent = name;
  return state.work;
}

// ---- what is shown

function show({ samples, sampleRate }) {
  const topHz = Math.min(sampleRate, state.by.sample_rate) / 2;
  state.picture = new Picture(samples, sampleRate, topHz);
  showKilohertz($("kilohertz"), topHz);
  state.seconds = samples().length / sampleRate;
  return true;
}

function finish(heard) {
  state.work = null;
  state.heard = heard;
  if (!state.picture) state.seconds = heard.ends.reduce((a, b) => Math.max(a, b), 0);
  view.show(0, state.seconds, state.seconds);
  atRest();
  $("length").textContent = `· ${clock(state.seconds, 1)}`;
  showWarnings([...heard.warnings, ...(heard.asides ?? []), heard.clip && uncalibrated(state.by, state.seconds)]);
  reveal();
  judge();
  moved(0, false);
  say(`Done. ${$("verdict").textContent}`);
}

function reveal() {
  const isLive = state.live !== null;
  $("heard").hidden = false;
  $("live").hidden = !isLive;
  $("hearing").hidden = isLive;
  $("exports").hidden = $("taggers").disabled = isLive;
  $("zoom").hidden = isLive || state.seconds < ZOOM_FROM_SECONDS;
  $("tracks").classList.toggle("is-undrawn", !state.picture);
  draw();
}

function draw() {
  const { picture } = state;
  if ($("heard").hidden) return;
  picture?.waveform($("waveform"), view.from, view.to);
  picture?.spectrogram($("spectrogram"), view.from, view.to);
  axis($("axis"), view.from, view.to);
  $("earlier").disabled = view.from <= 0;
  $("later").disabled = view.to >= state.seconds;
  timeline.draw(view);
  moved(player.seconds, player.isPlaying);
}

// ---- thresholds

const threshold = () => (Number($("threshold").value) ? Number($("threshold").value) / 100 : null);

// Everything that depends on the threshold.
function judge() {
  const own = threshold() === null;
  const value = own ? "the tagger’s own, by label" : threshold().toFixed(2);
  $("threshold-value").textContent = value;
  $("threshold").setAttribute("aria-valuetext", value);
  if (!state.heard) return;
  timeline.show(state.by, state.heard, limits(state.by, "window", threshold()));
  const inTime = timeline.lanes.map(({ label }) => label);
  if (!state.live) $("verdict").textContent = verdict(state.heard, state.by, threshold(), inTime);
  showBars();
}

// Bars of the window at the playhead while it plays, of the newest while the microphone is open, else of the whole.
function showBars() {
  const { heard, by: tagger, live } = state;
  const at = live ? heard.starts.length - 1 : player.isPlaying ? windowAt(heard, player.seconds) : -1;
  const { row, level } = at < 0 ? whole(heard, tagger) : { row: rowOf(heard, at, tagger), level: "window" };
  const limit = limits(tagger, level, threshold());
  bars.show(tagger.labels, row, limit, tagger.multi_label);
  const places = { clip: "The whole sound", window: "Each label where it is strongest" };
  $("bars-of").textContent =
    at < 0 ? places[level] : `From ${clock(heard.starts[at], 1)} to ${clock(heard.ends[at], 1)}`;
  $("about-bars").textContent = asserted(row, limit, tagger.multi_label).length
    ? "A mark is the threshold."
    : "Nothing here reached its threshold, which the mark shows. These come nearest.";
}

// ---- hearing

function playStretch(start, end) {
  if (state.live || $("play").disabled) return;
  if (!view.shows(start) || !view.shows(end)) view.look(start);
  player.play(start, end).catch(cannotPlay);
}

function playStrongest(label) {
  const { heard } = state;
  const best = strongest(heard, state.by, label);
  playStretch(heard.starts[best], heard.ends[best]);
}

function toggle() {
  if (player.isPlaying) player.pause();
  else player.play().catch(cannotPlay);
}

function cannotPlay(error) {
  if (error.name !== "AbortError") note(`This browser cannot play the sound (${error.name}).`);
}

const zoom = (factor) => view.zoom(factor, player.seconds);

function moved(seconds, isPlaying) {
  $("play").textContent = isPlaying ? "Pause" : "Play";
  $("time").textContent = `${clock(seconds, 1)} / ${clock(state.seconds, 1)}`;
  $("playhead").hidden = !!state.live || !view.shows(seconds) || (!isPlaying && seconds === 0);
  $("playhead").style.left = `${100 * view.share(seconds)}%`;
  $("drawn").setAttribute("aria-valuemax", state.seconds.toFixed(1));
  $("drawn").setAttribute("aria-valuenow", seconds.toFixed(1));
  $("drawn").setAttribute("aria-valuetext", `${clock(seconds, 1)} of ${clock(state.seconds, 1)}`);
  if (state.heard && !state.live) showBars();
}

// A step of the player: what is shown goes along.
function stepped(seconds, isPlaying) {
  if (!state.live && !view.shows(seconds)) view.look(seconds);
  moved(seconds, isPlaying);
}

// ---- the microphone

async function listen() {
  await stopLive();
  const work = begun("Microphone.wav");
  progress("Waiting for the microphone");
  const told = {
    window: () => state.live && !state.live.ending && newWindow(),
    problem: (error) => stopLive().then(() => fail(error)),
    gone: () => stopLive().then(() => note("The microphone has gone away.")),
  };
  try {
    const live = await openLive(state.by, told);
    if (work.signal.aborted) live.close();
    else startLive(live);
  } catch (error) {
    if (!work.signal.aborted) fail(error);
  }
}

function startLive(live) {
  Object.assign(state, { live, heard: live.heard });
  atRest();
  showWarnings([]);
  $("length").textContent = "";
  bars.clear();
  $("verdict").textContent = `Listening. The first tags come after ${state.by.window_seconds} s`;
  show({ samples: live.recorded, sampleRate: live.sampleRate });
  state.picture.isGrowing = true;
  timeline.show(state.by, live.heard, limits(state.by, "window", threshold()));
  live.timer = setInterval(follow, LIVE_STEP_MS);
  follow();
  reveal();
  $("stop").focus();
}

function follow() {
  const { live } = state;
  state.seconds = live.recorded().length / live.sampleRate;
  $("elapsed").textContent = clock(state.seconds);
  const from = Math.max(0, state.seconds - LIVE_SECONDS);
  view.show(from, from + LIVE_SECONDS, state.seconds);
  if (state.seconds > LONGEST_LIVE_SECONDS) stopLive().then(() => note("The microphone was stopped after an hour."));
}

function newWindow() {
  const text = verdictNow(state.heard, state.by, threshold());
  if ($("verdict").textContent !== text) say(text);
  $("verdict").textContent = text;
  judge();
}

// Resolves when what was heard is shown.
function stopLive() {
  if (state.live) state.live.ending ??= endLive(state.live);
  return state.live?.ending;
}

async function endLive(live) {
  clearInterval(live.timer);
  $("live").hidden = true;
  progress("Listening to the end");
  await live.close();
  Object.assign(state, { live: null, heard: null, seconds: live.recorded().length / live.sampleRate });
  state.picture.isGrowing = false;
  if (live.heard.starts.length) {
    state.given = new File([writeWav(live.recorded(), live.sampleRate)], state.name);
    $("play").disabled = !(await player.open(state.given));
    finish(live.heard);
  } else {
    $("heard").hidden = true;
    atRest();
  }
}

function fail(error) {
  state.work = null;
  atRest();
  $("heard").hidden = !state.heard;
  showProblem(error);
}

function cancel() {
  state.work?.abort();
  Object.assign(state, { work: null, given: null });
  player.close();
  atRest();
  note("Cancelled.");
}

// ---- saving

function save(format) {
  const { by: tagger, heard, name } = state;
  note(`${download(format, { name, tagger, heard, threshold: threshold() })} is saved.`);
}

// ---- what can be done

const CLICKS = {
  ...{ choose: () => $("file").click(), microphone: listen, stop: stopLive, cancel, play: toggle },
  ...{ earlier: () => view.pan(-0.5), later: () => view.pan(0.5), less: () => zoom(2), more: () => zoom(0.5) },
};
for (const [id, act] of Object.entries(CLICKS)) $(id).addEventListener("click", act);
$("file").addEventListener("change", () => {
  if ($("file").files.length) hear($("file").files[0]);
  $("file").value = ""; // the same file may be chosen again
});
$("taggers").addEventListener("change", chooseTagger);
$("threshold").addEventListener("input", judge);
$("key").addEventListener("submit", (event) => {
  event.preventDefault();
  engine.useToken($("token").value.trim());
  begin();
});

$("drawn").addEventListener("click", (event) => {
  if (state.live || $("play").disabled) return;
  const box = $("drawn").getBoundingClientRect();
  player.play(view.at((event.clientX - box.left) / box.width)).catch(cannotPlay);
});
const MOVES = {
  ArrowLeft: -1,
  ArrowRight: 1,
  ArrowDown: -1,
  ArrowUp: 1,
  PageDown: -10,
  PageUp: 10,
  Home: -Infinity,
  End: Infinity,
};
$("drawn").addEventListener("keydown", (event) => {
  if (state.live || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key in MOVES) player.seek(player.seconds + MOVES[event.key]);
  else if (event.key === " ") toggle();
  else if (event.key === "+" || event.key === "-") zoom(event.key === "+" ? 0.5 : 2);
  else return;
  event.preventDefault();
});

for (const kind of ["dragover", "dragleave", "drop"])
  addEventListener(kind, (event) => {
    event.preventDefault();
    document.body.classList.toggle("is-over", kind === "dragover");
    if (kind === "drop" && state.tagger && event.dataTransfer.files.length) hear(event.dataTransfer.files[0]);
  });
new ResizeObserver(draw).observe($("tracks"));

for (const format of Object.values(FORMATS)) {
  const button = Object.assign(document.createElement("button"), { type: "button", textContent: format.title });
  button.addEventListener("click", () => save(format));
  $("exports").append(button);
}
$("exports").prepend("Save the tags over time as");

switchScheme($("scheme"), draw);
judge();
begin();
