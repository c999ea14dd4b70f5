// What HLS and DASH have in common, so that one set of checks serves both.

/**
 * @typedef {object} Segment
 * @property {string} file       path in the tree
 * @property {number} duration   seconds
 * @property {number} start      seconds, the sum of the durations before it
 * @property {{offset: number, length: number}} [range]  absent: the whole file
 */

/**
 * @typedef {object} Rendition
 * @property {string} name       for messages: the playlist, or the representation
 * @property {'video'|'audio'|'text'|'iframes'} type
 * @property {number} [frameRate]
 * @property {number} [bandwidth]  of this rendition alone, bits a second
 * @property {number} [target]   the target duration, HLS only
 * @property {boolean} [ended]   HLS only
 * @property {string} [init]     path in the tree
 * @property {Segment[]} segments
 */

/**
 * @typedef {object} Presentation
 * @property {string} file       the manifest
 * @property {Rendition[]} renditions
 * @property {{name: string, bandwidth: number, parts: Rendition[]}[]} [variants]  HLS only: a rung, then its largest alternatives
 * @property {number} [duration] seconds, DASH only
 */

/** Gives each segment its start. */
export function timed(segments) {
  let start = 0;
  for (const segment of segments) {
    segment.start = start;
    start += segment.duration;
  }
  return segments;
}

/** How long a rendition plays, in seconds. */
export function total(rendition) {
  const last = rendition.segments.at(-1);
  return last ? last.start + last.duration : 0;
}

/**
 * The peak segment bit rate as rfc8216bis defines it: of all contiguous sets of
 * segments that play between 0.5 and 1.5 times target, the largest. Slack
 * seconds widen both limits, for durations that are rounded.
 */
export function peakBitrate(segments, sizeOf, target, slack) {
  const rate = (bytes, seconds) => (seconds > 0 ? (8 * bytes) / seconds : 0);
  let peak = 0;
  for (let i = 0; i < segments.length; i++) {
    let bytes = 0;
    let seconds = 0;
    for (let j = i; j < segments.length; j++) {
      bytes += sizeOf(segments[j]);
      seconds += segments[j].duration;
      if (seconds > 1.5 * target + slack) break;
      if (seconds >= 0.5 * target - slack) peak = Math.max(peak, rate(bytes, seconds));
    }
  }
  if (peak > 0) return peak;
  return rate(
    segments.reduce((sum, s) => sum + sizeOf(s), 0),
    segments.reduce((sum, s) => sum + s.duration, 0),
  );
}
