// What the page of edges works out of the list of them.
import type { Edge } from '../../api/types';
import { bitrate } from '../../player/lib/format';
import type { Key } from '../messages';

/** How a state looks and what it is called. */
export const edgeStates: Readonly<Record<Edge['state'], { words: Key; tone: 'good' | 'busy' | 'bad' }>> = {
  ready: { words: 'edgeReady', tone: 'good' },
  behind: { words: 'edgeBehind', tone: 'busy' },
  away: { words: 'edgeAway', tone: 'bad' },
};

/** Sums are what several edges do together. Those that are away do nothing. */
export interface Sums {
  readonly count: number;
  readonly ready: number;
  readonly behind: number;
  readonly away: number;
  readonly requests: number;
  readonly egress: number;
  readonly ingress: number;
  readonly stored: number;
  readonly waiting: number;
  /** by requests; undefined while there are none */
  readonly hitRatio: number | undefined;
  /** how much of what they can send is used, where all that send say what they can */
  readonly used: number | undefined;
}

export function sums(edges: readonly Edge[]): Sums {
  const up = edges.filter((e) => e.state !== 'away');
  const add = (of: (e: Edge) => number) => up.reduce((sum, e) => sum + of(e), 0);
  const in_ = (state: Edge['state']) => edges.filter((e) => e.state === state).length;
  const requests = add((e) => e.requests);
  const capacity = add((e) => e.capacity);
  const known = up.length > 0 && up.every((e) => e.capacity > 0);
  return {
    count: edges.length, ready: in_('ready'), behind: in_('behind'), away: in_('away'),
    requests, egress: add((e) => e.egress), ingress: add((e) => e.ingress), stored: add((e) => e.stored), waiting: add((e) => e.waiting),
    hitRatio: requests > 0 ? add((e) => e.requests * e.hit_ratio) / requests : undefined,
    used: known ? add((e) => e.egress) / capacity : undefined,
  };
}

/** rate writes bits a second, also those of a whole cloud: "0 kb/s", "2.8 Mb/s", "41 Gb/s". */
export function rate(bps: number): string {
  if (!(bps >= 500)) return '0 kb/s';
  if (bps < 999.5e6) return bitrate(bps);
  const [n, unit] = bps < 999.5e9 ? [bps / 1e9, 'Gb/s'] : [bps / 1e12, 'Tb/s'];
  return `${n.toFixed(n < 9.95 ? 1 : 0)} ${unit}`;
}

/** A region with its edges, by name. Edges that say no region are one of their own, the last. */
export interface Region {
  readonly name: string;
  readonly edges: readonly Edge[];
  readonly sums: Sums;
}

export function regionsOf(edges: readonly Edge[]): Region[] {
  const found = new Map<string, Edge[]>();
  for (const edge of edges) found.set(edge.region, [...(found.get(edge.region) ?? []), edge]);
  return [...found]
    .sort(([a], [b]) => Number(a === '') - Number(b === '') || a.localeCompare(b))
    .map(([name, list]) => ({ name, edges: list.sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true })), sums: sums(list) }));
}

/** tiersOf takes shields apart from the edges that ask them. Where nothing but shields is there, they are what viewers ask. */
export function tiersOf(edges: readonly Edge[]): { front: Edge[]; shields: Edge[] } {
  const front = edges.filter((e) => !e.shield);
  return front.length > 0 ? { front, shields: edges.filter((e) => e.shield) } : { front: [...edges], shields: [] };
}
