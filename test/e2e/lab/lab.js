// The page in which players that are not ours play: one video element, and
// window.lab, which drives it and measures what Chromium shows and sounds.

import { openers } from './players.js';

const video = document.querySelector('video');
const canvas = new OffscreenCanvas(160, 90);
const paper = canvas.getContext('2d', { willReadFrequently: true });
const mimes = [];
const problems = [];
let player;
let kind;

for (const [owner, name] of [[MediaSource, 'addSourceBuffer'], [SourceBuffer, 'changeType']]) {
  const original = owner.prototype[name];
  owner.prototype[name] = function (mime) {
    mimes.push(mime);
    return original.call(this, mime);
  };
}

/** Where playback is, for the message of a failure. */
function state() {
  const ranges = Array.from({ length: video.buffered.length }, (_, i) => `${video.buffered.start(i).toFixed(3)}–${video.buffered.end(i).toFixed(3)}`);
  const { currentTime, duration, readyState, paused, seeking } = video;
  return [`at ${currentTime.toFixed(3)} of ${duration.toFixed(3)} s`, `ready state ${readyState}`, ...(paused ? ['paused'] : []), ...(seeking ? ['seeking'] : []), `buffered ${ranges}`, ...problems].join(', ');
}

/** Resolves when check() is true, and says after seconds what was waited for. */
async function until(what, check, seconds = 10) {
  for (const end = performance.now() + seconds * 1000; !check();) {
    if (performance.now() > end) throw new Error(`${what}: waited ${seconds} s in vain; ${state()}`);
    await new Promise((done) => setTimeout(done, 20));
  }
}

/**
 * What is on show: its time, number (testkit.FrameNumber) and mean luma. All are of
 * one VideoFrame: a busy page may be called back for a picture when another is up.
 */
function look() {
  const frame = new VideoFrame(video);
  const at = frame.timestamp / 1e6;
  paper.drawImage(frame, 0, 0, canvas.width, canvas.height);
  frame.close();
  const { data } = paper.getImageData(0, 0, canvas.width, canvas.height);
  const green = (x, y) => data[4 * (y * canvas.width + x) + 1];
  let number = 0;
  for (let bit = 0; bit < 16; bit++) {
    if (green(10 * bit + 5, 10) > 127) number |= 1 << bit;
  }
  let sum = 0;
  for (let i = 1; i < data.length; i += 4) sum += data[i];
  return { at, number, luma: sum / (data.length / 4), width: video.videoWidth };
}

/** Notes the pictures that are presented until stop() is called, each once. */
function watch() {
  const pictures = [];
  let on = true;
  const note = () => {
    if (!on) return;
    const seen = look();
    if (seen.at !== pictures.at(-1)?.at) pictures.push(seen);
    video.requestVideoFrameCallback(note);
  };
  video.requestVideoFrameCallback(note);
  return { pictures, stop: () => (on = false) };
}

/** Counts the times that playback waits for data, from now on. */
function countStalls() {
  const stalls = [];
  const note = () => video.duration - video.currentTime > 0.1 && stalls.push(video.currentTime);
  video.addEventListener('waiting', note);
  return { stalls, stop: () => video.removeEventListener('waiting', note) };
}

/** Opens a manifest in a player that looks some seconds ahead. */
async function open(which, url, ahead) {
  kind = which;
  video.addEventListener('error', () => problems.push(`video: ${video.error?.message}`));
  player = await openers[kind](video, url, ahead, (problem) => problems.push(`${kind}: ${problem}`));
  await until('opening', () => video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA && player.ready(), 15);
}

/** Plays. Nobody waits for the promise: where there are no data it stays as it is. */
function play() {
  video.play().catch((error) => problems.push(`play: ${error.message}`));
}

/** Goes to a time and resolves when the picture of it is on show. */
async function seek(seconds) {
  const shown = new Promise((done) => video.requestVideoFrameCallback(done));
  video.currentTime = seconds;
  await until(`seek to ${seconds}`, () => !video.seeking && video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA);
  // The same picture again is not presented again.
  await Promise.race([shown, new Promise((done) => setTimeout(done, 500))]);
  return { asked: seconds, ...look() };
}

/** Plays to the end; changes maps times to levels to take then. */
async function playThrough(changes = []) {
  const start = look();
  const watching = watch();
  play();
  await until('start', () => video.currentTime > 0);
  const counting = countStalls();
  for (const [at, level] of changes) {
    await until(`playing to ${at} s`, () => video.currentTime >= at, 15);
    player.setLevel(level);
  }
  await until('the end', () => video.ended, 25);
  counting.stop();
  watching.stop();
  const { totalVideoFrames: total, droppedVideoFrames: dropped, corruptedVideoFrames: corrupted } = video.getVideoPlaybackQuality();
  return { start, end: look(), pictures: watching.pictures, stalls: counting.stalls, duration: video.duration, total, dropped, corrupted };
}

/** Plays until nothing more comes, and notes the pictures. */
async function playAll() {
  const start = look();
  const watching = watch();
  const counting = countStalls();
  play();
  const near = () => video.duration - video.currentTime < 0.3;
  await until('the end', () => video.ended || (near() && video.readyState <= HTMLMediaElement.HAVE_CURRENT_DATA), 40);
  counting.stop();
  watching.stop();
  return { start, end: look(), pictures: watching.pictures, stalls: counting.stalls, duration: video.duration };
}

/** Plays for some seconds from a time, and returns what was seen. */
async function playFrom(at, seconds) {
  if (Math.abs(video.currentTime - at) > 0.01) video.currentTime = at;
  const watching = watch();
  play();
  await until(`playing ${seconds} s`, () => !video.seeking && video.currentTime >= at + seconds, 15);
  video.pause();
  watching.stop();
  return watching.pictures;
}

/** Takes a track of sound, and resolves when the player says that it has it. */
async function takeAudio(track) {
  player.setAudio(track);
  // Shaka Player loses its way when a seek comes between this and the new data.
  const ahead = () => [...Array(video.buffered.length).keys()].some((i) => video.buffered.start(i) <= video.currentTime && video.buffered.end(i) > video.currentTime + 1);
  await new Promise((done) => setTimeout(done, 500));
  await until(`track ${track} of the sound`, () => player.audioChosen() === track && ahead());
}

/** The words on show at a time: those wanted, or what there is instead. */
async function words(track, at, wanted) {
  const seek = () => { video.currentTime = at; };
  // dash.js 5.2 drops a file of subtitles that comes after a seek, and shows the words of
  // one when it next hears of the time. The page mends both: engine/dash-seek.ts.
  const plainDash = kind === 'dash.js';
  if (plainDash) {
    seek();
    await until(`seek to ${at}`, () => !video.seeking);
  }
  player.setText(track);
  if (!plainDash) seek();
  const active = () => [...video.textTracks].filter((t) => t.mode === 'showing').flatMap((t) => [...(t.activeCues ?? [])].map((c) => c.text)).join('\n');
  const shown = () => !video.seeking && active() === wanted;
  await until('subtitles', () => (plainDash && video.dispatchEvent(new Event('timeupdate')), shown())).catch(() => undefined);
  return active();
}

/**
 * When picture and sound have their flashes and beeps, as Chromium presents them.
 *
 * Sound is taken where it leaves the element (WebAudio) and timed by counting
 * samples, not by a clock of the page, which is tens of milliseconds off. After a
 * seek to T while paused, the first sample that Chromium plays is that of time T,
 * to the sample; the clips hum between the beeps, so that this sample is the first
 * that is not zero. Every later one is at T + its index / rate, since the
 * element's clock counts the samples it has played; a gap in the sound is found
 * as a run of zeros.
 *
 * Pictures are timed by their own time, read with them while they are presented: the
 * element shows the picture of time m when its clock is m. A flash that a busy
 * machine kept the page from seeing is looked up by seeking to it.
 */
async function flashesAndBeeps(from, expected, frame) {
  const rate = 48000;
  const context = new AudioContext({ sampleRate: rate });
  await context.audioWorklet.addModule('/lab/recorder.js');
  const recorder = new AudioWorkletNode(context, 'recorder');
  const chunks = [];
  recorder.port.onmessage = ({ data }) => chunks.push(data);
  context.createMediaElementSource(video).connect(recorder).connect(context.destination);
  await context.resume();
  video.pause();
  await seek(from);

  const watching = watch();
  play();
  // dash.js does not always say that the film is over, see its issue 2129: here it is
  // enough that all of it was played. That players end is looked at in films.
  await until('the end', () => video.ended || video.currentTime >= video.duration, 25);
  watching.stop();
  await until('silence after the end', () => chunks.length > 2 && chunks.at(-1).every((v) => v === 0));
  await context.suspend();

  const flashes = firstBright(watching.pictures);
  for (const at of expected) {
    if (at < from || flashes.some((f) => Math.abs(f - at) < frame / 2)) continue;
    const before = await seek(at - frame / 2);
    const shown = await seek(at + frame / 2);
    if (before.luma < 128 && shown.luma > 128) flashes.push(shown.at);
  }
  return { flashes: flashes.sort((a, b) => a - b), ...beepsIn(chunks, from, rate) };
}

function firstBright(pictures) {
  return pictures.filter(({ luma }, i) => luma > 128 && (i === 0 || pictures[i - 1].luma <= 128)).map(({ at }) => at);
}

function beepsIn(chunks, from, rate) {
  const samples = new Float32Array(chunks.reduce((sum, c) => sum + c.length, 0));
  chunks.reduce((at, c) => (samples.set(c, at), at + c.length), 0);
  const first = samples.findIndex((v) => v !== 0);
  const last = samples.findLastIndex((v) => v !== 0);
  const beeps = [];
  let zeros = 0;
  let longestGap = 0;
  let quiet = rate / 10;
  for (let i = first; i <= last; i++) {
    zeros = samples[i] === 0 ? zeros + 1 : 0;
    longestGap = Math.max(longestGap, zeros);
    if (Math.abs(samples[i]) < 0.09) quiet++;
    else {
      if (quiet >= rate / 10) beeps.push(from + (i - first) / rate);
      quiet = 0;
    }
  }
  return { beeps, longestGap, heard: (last - first + 1) / rate };
}

window.lab = {
  video, mimes, problems, open, seek, look, playAll, playThrough, playFrom, words, flashesAndBeeps, until,
  levels: () => player.levels(),
  setLevel: (i) => player.setLevel(i),
  audio: () => player.audio(),
  takeAudio,
  text: () => player.text(),
};
