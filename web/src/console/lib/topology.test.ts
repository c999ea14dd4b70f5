import { describe, expect, it } from 'vitest';
import type { Edge } from '../../api/types';
import { rate, regionsOf, sums, tiersOf } from './edges';
import { topology, weight, type Box } from './topology';

function edge(n: number, change: Partial<Edge> = {}): Edge {
  return {
    id: `nod_${n}`, name: `edge-${n}`, region: `r${n % 3}`, url: '', shield: false, state: 'ready', seen_at: '2026-03-02T01:00:00Z', load: 0.5,
    requests: 10, hit_ratio: 0.9, egress: 1e6, ingress: 1e5, capacity: 0, stored: 100, stored_own: 40, waiting: 1, ...change,
  };
}
const many = (n: number) => Array.from({ length: n }, (_, i) => edge(i));

describe('sums', () => {
  it('weighs the hit ratio by requests', () => expect(sums([edge(1, { requests: 30, hit_ratio: 1 }), edge(2, { requests: 10, hit_ratio: 0 })]).hitRatio).toBe(0.75));
  it('leaves out what is away', () => {
    const got = sums([edge(1), edge(2, { state: 'away', egress: 5e9 }), edge(3, { state: 'behind' })]);
    expect(got).toMatchObject({ count: 3, ready: 1, behind: 1, away: 1, egress: 2e6, waiting: 2 });
  });
  it('says what share is used only where all say what they can send', () => {
    expect(sums([edge(1, { capacity: 4e6 }), edge(2, { capacity: 4e6 })]).used).toBe(0.25);
    expect(sums([edge(1, { capacity: 4e6 }), edge(2)]).used).toBeUndefined();
  });
  it('has no ratio of nothing', () => expect(sums([]).hitRatio).toBeUndefined());
});

describe('rate', () => {
  it.each([[0, '0 kb/s'], [NaN, '0 kb/s'], [850_000, '850 kb/s'], [2.8e6, '2.8 Mb/s'], [1.26e9, '1.3 Gb/s'], [41e9, '41 Gb/s'], [2e12, '2.0 Tb/s']])('%d is %s', (n, want) => expect(rate(n)).toBe(want));
});

describe('regions and tiers', () => {
  it('puts those without a region last, and counts names', () => {
    const got = regionsOf([edge(10, { region: '' }), edge(12, { region: 'b' }), edge(2, { region: 'b' })]);
    expect(got.map((r) => [r.name, r.edges.map((e) => e.name)])).toEqual([['b', ['edge-2', 'edge-12']], ['', ['edge-10']]]);
  });
  it('takes shields apart', () => expect(tiersOf([edge(1), edge(2, { shield: true })]).shields.map((e) => e.id)).toEqual(['nod_2']));
  it('shows shields in front where there is nothing else', () => expect(tiersOf([edge(2, { shield: true })])).toMatchObject({ front: [{ id: 'nod_2' }], shields: [] }));
});

describe('topology', () => {
  const inside = (a: Box, b: Box) => a.x >= b.x && a.y >= b.y && a.x + a.w <= b.x + b.w && a.y + a.h <= b.y + b.h;
  it.each([[1, 1184], [7, 1184], [7, 760], [30, 900], [100, 1184], [1000, 760]])('draws %d edges on %d pixels without one beyond its box', (n, width) => {
    const edges = many(n).map((e, i) => (n > 1 && i % 7 === 6 ? { ...e, shield: true } : e));
    const map = topology(edges, width, new Set());
    const whole = { x: 0, y: 0, w: map.width, h: map.height };
    const groups = [...map.groups, ...(map.shields ? [map.shields] : [])];
    for (const group of groups) {
      expect(inside(group.box, whole)).toBe(true);
      for (const one of group.placed) expect(inside(one.box, group.box)).toBe(true);
    }
    for (const end of [map.viewers, map.origin]) expect(inside(end, whole)).toBe(true);
    expect(groups.flatMap((g) => g.placed)).toHaveLength(n);
    expect(map.links.every((l) => !l.path.includes('NaN'))).toBe(true);
  });
  it('folds regions of a large cloud until one is opened', () => {
    expect(topology(many(12), 1184, new Set()).groups.map((g) => g.form)).toEqual(['card', 'card', 'card']);
    expect(topology(many(30), 1184, new Set()).groups.map((g) => g.form)).toEqual(['tile', 'tile', 'tile']);
    expect(topology(many(100), 1184, new Set(['r1'])).groups.map((g) => g.form)).toEqual(['cell', 'tile', 'cell']);
  });
  it('goes to the origins without shields, and by them with some', () => {
    expect(topology(many(3), 1184, new Set()).links.map((l) => l.id)).toEqual(['out r0', 'out r1', 'out r2', 'in r0', 'in r1', 'in r2']);
    expect(topology([edge(1), edge(2, { shield: true })], 1184, new Set()).links.map((l) => l.id)).toEqual(['out r1', 'in r1', 'shield nod_2']);
  });
  it('draws an idle line where all are away', () => expect(topology([edge(1, { state: 'away' })], 1184, new Set()).links.every((l) => l.idle && l.width === 1.5)).toBe(true));
  it('draws more traffic wider', () => {
    const widths = [0, 1, 10, 100].map((n) => weight(n, 100));
    expect(widths).toEqual([1.5, 2.8, 5.5, 14]);
  });
});
