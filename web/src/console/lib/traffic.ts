// What the page of a site works out of its traffic.
import type { OriginAtEdge, Traffic, TrafficPoint } from '../../api/types';

const step = 10_000; // milliseconds from point to point
const minute = 60_000;
const lately = 3; // points

export interface Done {
  readonly requests: number;
  readonly hits: number;
  readonly bytes: number;
  readonly fetched: number;
}

function grouped<K, T>(list: readonly T[], of: (one: T) => K): Map<K, T[]> {
  const by = new Map<K, T[]>();
  for (const one of list) {
    const there = by.get(of(one));
    if (there) there.push(one);
    else by.set(of(one), [one]);
  }
  return by;
}

const add = (points: readonly TrafficPoint[]): Done =>
  points.reduce<Done>(
    (sum, p) => ({ requests: sum.requests + p.requests, hits: sum.hits + p.hits, bytes: sum.bytes + p.bytes, fetched: sum.fetched + p.fetched }),
    { requests: 0, hits: 0, bytes: 0, fetched: 0 },
  );

/** clock is now as the server has it, about: this machine's, unless the last point is ahead of it. */
function clock(points: readonly TrafficPoint[], now: number): number {
  const last = points.at(-1);
  return last ? Math.max(now, Date.parse(last.at) - step) : now;
}

/** total is what was done in the hour. */
export const total = (points: readonly TrafficPoint[]): Done => add(points);

/** current is what is done a second: over the last half minute, without the ten seconds that are not over. */
export function current(points: readonly TrafficPoint[], now: number): Done {
  const end = Math.floor(clock(points, now) / step) * step;
  const sum = add(points.filter((p) => Date.parse(p.at) <= end && Date.parse(p.at) > end - lately * step));
  const seconds = (lately * step) / 1000;
  return { requests: sum.requests / seconds, hits: sum.hits / seconds, bytes: sum.bytes / seconds, fetched: sum.fetched / seconds };
}

export interface Minute extends Done {
  /** when it ends, in milliseconds */
  readonly at: number;
  /** how much of it is over */
  readonly seconds: number;
}

/** minutes is the last hour, minute by minute, the oldest first; what nobody asked for is zero. */
export function minutes(points: readonly TrafficPoint[], now: number): Minute[] {
  const time = clock(points, now);
  const end = Math.ceil(time / minute) * minute;
  const over = Math.max(step, Math.ceil((time - (end - minute)) / step) * step); // of the last
  const by = grouped(points, (p) => Math.ceil(Date.parse(p.at) / minute) * minute);
  return Array.from({ length: 60 }, (_, i) => end - (59 - i) * minute).map((at) => ({ at, seconds: (at === end ? over : minute) / 1000, ...add(by.get(at) ?? []) }));
}

/** part is a share; undefined of nothing. */
export const part = (n: number, of: number): number | undefined => (of > 0 ? n / of : undefined);

/** offload is the part of what viewers got that no origin had to send. */
export function offload({ bytes, fetched }: Done): number | undefined {
  return bytes > 0 ? Math.max(0, 1 - fetched / bytes) : undefined;
}

export const classes = ['2xx', '3xx', '4xx', '5xx'] as const;

/** statusShares are the classes of answers that there were. */
export function statusShares(status: Traffic['status']): { name: (typeof classes)[number]; count: number; share: number }[] {
  const sum = classes.reduce((n, name) => n + (status[name] ?? 0), 0);
  return classes.map((name) => ({ name, count: status[name] ?? 0, share: sum > 0 ? (status[name] ?? 0) / sum : 0 })).filter((c) => c.count > 0);
}

export interface OriginView {
  readonly url: string;
  readonly up: number;
  /** where it is not well */
  readonly troubles: readonly OriginAtEdge[];
}

/** originViews puts together how each origin looks from the edges. */
export function originViews(list: readonly OriginAtEdge[]): OriginView[] {
  return [...grouped(list, (o) => o.url)].map(([url, seen]) => ({ url, up: seen.filter((o) => o.state === 'up').length, troubles: seen.filter((o) => o.state !== 'up') }));
}
