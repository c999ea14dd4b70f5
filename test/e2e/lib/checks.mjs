// What must hold in every presentation, whichever format names it. Each check
// pushes a line a person can act on to problems.

import path from 'node:path';
import { peakBitrate, total } from './presentation.mjs';

// EXTINF has six decimals and an MPD milliseconds: closer than this is equal.
const SAME_INSTANT = 0.001;

// The longest frame of AAC in use: HE-AAC, 2048 samples, at 44.1 kHz.
const AUDIO_FRAME = 2048 / 44100;

// How far above the measured peak a declared bandwidth may be.
const BANDWIDTH_SLACK = 1.1;

/** Every file that the manifest names is there, and as long as it must be. */
export function checkFiles(tree, { renditions }, problems) {
  for (const { name, type, init, segments } of renditions) {
    if (segments.length === 0) problems.push(`${name}: has no segments`);
    if (init && !tree.size(init)) problems.push(`${name}: the initialization segment ${init} is missing or empty`);
    for (const { file, range } of segments) {
      const size = tree.size(file);
      if (size === undefined) problems.push(`${name}: the segment ${file} is missing`);
      else if (size === 0) problems.push(`${name}: the segment ${file} is empty`);
      else if (range && range.offset + range.length > size) {
        problems.push(`${name}: the range ${range.length}@${range.offset} ends beyond ${file}, which has ${size} bytes`);
      }
    }
    if (type === 'text') checkWebVtt(tree, name, segments, problems);
  }
}

function checkWebVtt(tree, name, segments, problems) {
  for (const { file } of segments) {
    if (!tree.size(file)) continue;
    if (!/^WEBVTT[ \t\n]/.test(tree.read(file))) problems.push(`${name}: ${file} does not begin with WEBVTT`);
    else if (name.endsWith('.m3u8') && !/^X-TIMESTAMP-MAP=/m.test(tree.read(file).split('\n\n', 1)[0])) {
      problems.push(`${name}: ${file} has no X-TIMESTAMP-MAP`);
    }
  }
}

/** HLS: the same target duration everywhere, no segment above it, and an end. */
export function checkTarget({ file, renditions }, problems) {
  const targets = new Set(renditions.filter((r) => r.type !== 'iframes').map((r) => r.target));
  if (targets.size > 1) problems.push(`${file}: target durations differ: ${[...targets].join(', ')}`);
  for (const { name, target, ended, segments } of renditions) {
    if (!ended) problems.push(`${name}: has no EXT-X-ENDLIST`);
    for (const segment of segments) {
      if (Math.round(segment.duration) > target) {
        problems.push(`${name}: ${segment.file} lasts ${segment.duration} s, above the target duration ${target}`);
      }
    }
  }
}

/** All renditions play equally long, to a frame. */
export function checkTotals({ file, duration, renditions }, problems) {
  const reference = renditions.find((r) => r.type === 'video') ?? renditions.find((r) => r.type === 'audio');
  if (!reference) {
    problems.push(`${file}: has neither video nor sound`);
    return;
  }
  const slowest = Math.min(...renditions.map((r) => r.frameRate || Infinity));
  const frame = Number.isFinite(slowest) ? 1 / slowest : AUDIO_FRAME;
  const compare = (name, seconds, tolerance) => {
    const off = seconds - total(reference);
    if (Math.abs(off) > tolerance + SAME_INSTANT) {
      problems.push(`${name}: plays ${seconds.toFixed(3)} s, ${off.toFixed(3)} s off ${reference.name}`);
    }
  };
  for (const r of renditions) compare(r.name, total(r), r.type === 'audio' ? Math.max(frame, AUDIO_FRAME) : frame);
  if (duration !== undefined) compare(file, duration, frame);
}

/** All video renditions are cut at the same places. */
export function checkBoundaries({ renditions }, problems) {
  const [first, ...others] = renditions.filter((r) => r.type === 'video');
  for (const other of others) {
    if (other.segments.length !== first.segments.length) {
      problems.push(`${other.name}: has ${other.segments.length} segments, ${first.name} has ${first.segments.length}`);
      continue;
    }
    const at = other.segments.findIndex((s, i) => Math.abs(s.start - first.segments[i].start) > SAME_INSTANT);
    if (at >= 0) {
      problems.push(`${other.name}: segment ${at} starts at ${other.segments[at].start.toFixed(3)} s, in ${first.name} at ${first.segments[at].start.toFixed(3)} s`);
    }
  }
}

/** HLS: key frames are taken out of segments of the presentation. */
export function checkIFrames({ renditions }, problems) {
  const files = new Set(renditions.filter((r) => r.type === 'video').flatMap((r) => r.segments.map((s) => s.file)));
  for (const { name, type, segments } of renditions) {
    if (type !== 'iframes') continue;
    for (const { file, range } of segments) {
      if (!range) problems.push(`${name}: ${file} has no byte range`);
      if (!files.has(file)) problems.push(`${name}: ${file} is no segment of a video rendition`);
    }
  }
}

/** Declared bandwidths are measured ones: never less, and not much more. */
export function checkBandwidth(tree, { renditions, variants = [] }, target, problems) {
  const sizeOf = (s) => s.range?.length ?? tree.size(s.file) ?? 0;
  const average = (r) => (8 * r.segments.reduce((sum, s) => sum + sizeOf(s), 0)) / total(r);
  const least = (r) => peakBitrate(r.segments, sizeOf, target, -SAME_INSTANT);
  // The peak may lie below the average, and then the average is declared.
  const most = (r) => Math.max(peakBitrate(r.segments, sizeOf, target, SAME_INSTANT), average(r));
  const compare = (name, declared, low, high) => {
    if (declared < Math.floor(low)) problems.push(`${name}: bandwidth ${declared} is below the measured peak ${Math.ceil(low)}`);
    if (declared > high * BANDWIDTH_SLACK + 1) problems.push(`${name}: bandwidth ${declared} is far above the measured peak ${Math.ceil(high)}`);
  };
  for (const r of renditions) {
    if (r.bandwidth !== undefined && r.type !== 'text') compare(r.name, r.bandwidth, least(r), most(r));
  }
  for (const { name, bandwidth, own, alternatives } of variants) {
    const others = alternatives.map((group) => Math.max(0, ...group.filter((r) => r !== own).map(most)));
    compare(name, bandwidth, least(own), others.reduce((sum, rate) => sum + rate, most(own)));
  }
}

/** HLS and DASH of one folder name the same media files, for equally long. */
export function checkSameSegments(hls, dash, problems) {
  const media = ({ renditions }) => {
    const files = new Map();
    for (const { type, init, segments } of renditions) {
      if (type !== 'video' && type !== 'audio') continue;
      files.set(init, 0);
      for (const { file, duration } of segments) files.set(file, duration);
    }
    return files;
  };
  const [inHls, inDash] = [media(hls), media(dash)];
  for (const [file, duration] of inHls) {
    if (!inDash.has(file)) problems.push(`${file}: named by ${hls.file}, not by ${dash.file}`);
    else if (Math.abs(inDash.get(file) - duration) > SAME_INSTANT) {
      problems.push(`${file}: lasts ${duration} s in HLS, ${inDash.get(file)} s in DASH`);
    }
  }
  for (const file of inDash.keys()) {
    if (!inHls.has(file)) problems.push(`${file}: named by ${dash.file}, not by ${hls.file}`);
  }
}

/** Every sprite sheet that a storyboard names is there. */
export function checkStoryboards(tree, problems) {
  for (const file of tree.files('.vtt')) {
    const sheets = new Set([...tree.read(file).matchAll(/^(\S+)#xywh=\d+,\d+,\d+,\d+$/gm)].map((m) => m[1]));
    for (const sheet of sheets) {
      if (!tree.size(tree.resolve(sheet, file))) problems.push(`${file}: the sheet ${sheet} is missing or empty`);
    }
  }
}

export const folder = (file) => path.posix.dirname(file);
