// The arithmetic of the drawing of bits over shots.

import type { Encoding } from '../../api/types';

/** Stretch is one shot, or neighbours that are too short to be told apart. */
export interface Stretch {
  readonly first: number;
  last: number;
  readonly start: number;
  end: number;
}

/** stretches joins neighbouring shots until each is wide enough to be seen and pointed at. */
export function stretches(shots: Encoding['shots'], width: number): Stretch[] {
  const duration = shots.at(-1)?.end ?? 0;
  const least = (duration * 3) / Math.max(1, width); // seconds in three pixels
  const all: Stretch[] = [];
  shots.forEach(({ start, end }, i) => {
    const last = all.at(-1);
    if (last && last.end - last.start < least) Object.assign(last, { last: i, end });
    else all.push({ first: i, last: i, start, end });
  });
  return all;
}

/** rateOf is what a stretch was given, in bits a second. */
export function rateOf(stretch: Stretch, bytes: readonly number[]): number {
  const sum = bytes.slice(stretch.first, stretch.last + 1).reduce((a, b) => a + b, 0);
  return stretch.end > stretch.start ? (8 * sum) / (stretch.end - stretch.start) : 0;
}

/** timeTicks are round seconds on an axis, so that no two are nearer than 70 pixels. */
export function timeTicks(duration: number, width: number): number[] {
  const most = Math.max(1, Math.floor(width / 70));
  const step = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400].find((s) => duration / s <= most) ?? duration;
  return Array.from({ length: Math.floor(duration / step) + 1 }, (_, i) => i * step);
}
