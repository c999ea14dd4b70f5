// Where the map of edges draws what: viewers, regions with edges, shields, origins,
// from left to right, and the lines between them.
import type { Edge } from '../../api/types';
import { regionsOf, sums, tiersOf, type Region } from './edges';

export interface Box {
  readonly x: number;
  readonly y: number;
  readonly w: number;
  readonly h: number;
}

/** How an edge is drawn: with its figures, with its name, or as one of many. */
export type Form = 'card' | 'tile' | 'cell';

export interface Placed {
  readonly edge: Edge;
  readonly box: Box;
}

export interface Group {
  readonly region: Region;
  readonly form: Form;
  readonly box: Box;
  readonly placed: readonly Placed[];
  /** it is so large that it is drawn as cells until somebody opens it */
  readonly folds: boolean;
}

export interface Link {
  readonly id: string;
  readonly path: string;
  /** pixels; the more traffic, the wider */
  readonly width: number;
  /** nothing flows */
  readonly idle: boolean;
}

export interface Topology {
  readonly width: number;
  readonly height: number;
  readonly viewers: Box;
  readonly origin: Box;
  readonly groups: readonly Group[];
  readonly shields: Group | undefined;
  readonly links: readonly Link[];
}

/** Below this width there is a list instead of a map. */
export const narrowest = 760;

const mostCards = 12; // in all
const mostTiles = 40; // in all; of more, regions fold
const end = { w: 124, h: 132 }; // viewers and origins
const gap = 14; // between regions
const pad = 12;
const head = 38;
const size = { card: { w: 216, h: 108 }, tile: { w: 116, h: 38 }, cell: { w: 14, h: 24 } } as const;
const widestCard = 290;
const shieldsWide = 214;
const between = { card: 10, tile: 8, cell: 4 } as const;

/** topology places edges in a map of a width. Regions in open show their edges, however many. */
export function topology(edges: readonly Edge[], width: number, open: ReadonlySet<string>): Topology {
  const { front, shields } = tiersOf(edges);
  const wide = shields.length > 0;
  const shieldWidth = wide ? shieldsWide : 0;
  const road = Math.round(Math.max(32, Math.min(84, width * 0.052)));
  const left = end.w + road;
  const inner = width - 2 * (end.w + road) - (wide ? shieldWidth + road : 0);
  const small = front.length > mostTiles;

  const regions = regionsOf(front);
  const cards = front.length <= mostCards;
  // A few cards are no wider than they are worth, in the middle of the room there is.
  const most = Math.max(...regions.map((r) => r.edges.length), 1);
  const w = cards ? Math.min(inner, 2 * pad + most * widestCard + (most - 1) * between.card) : inner;
  let y = 0;
  const groups = regions.map((region) => {
    const form: Form = cards ? 'card' : small && !open.has(region.name) ? 'cell' : 'tile';
    const group = place(region, form, { x: left + Math.round((inner - w) / 2), y, w }, small);
    y += group.box.h + gap;
    return group;
  });
  const column = wide ? place({ name: '', edges: regionsOf(shields).flatMap((r) => r.edges), sums: sums(shields) }, shields.length <= 5 ? 'card' : 'tile', { x: left + inner + road, y: 0, w: shieldWidth }, false) : undefined;
  const height = Math.max(y - gap, column?.box.h ?? 0, end.h);
  const middle = (box: Box): Box => ({ ...box, y: Math.round((height - box.h) / 2) });
  const drop = Math.round(Math.max(0, (height - (y - gap)) / 2));
  const lowered = groups.map((g) => moved(g, drop));
  const viewers = middle({ x: 0, y: 0, ...end });
  const origin = middle({ x: width - end.w, y: 0, ...end });
  const centred = column && moved(column, middle(column.box).y);
  return { width, height, viewers, origin, groups: lowered, shields: centred, links: links(viewers, lowered, centred, origin) };
}

/** place puts the edges of a region into rows of a box that is as high as they need. */
function place(region: Region, form: Form, at: { x: number; y: number; w: number }, folds: boolean): Group {
  const room = at.w - 2 * pad;
  const step = between[form];
  const fit = Math.max(1, Math.floor((room + step) / (size[form].w + step)));
  const columns = form === 'cell' ? fit : Math.max(1, Math.min(fit, form === 'card' ? region.edges.length : fit));
  const w = form === 'cell' ? size.cell.w : Math.floor((room - step * (columns - 1)) / columns);
  const h = size[form].h;
  const placed = region.edges.map((edge, i) => ({
    edge,
    box: { x: at.x + pad + (i % columns) * (w + step), y: at.y + head + Math.floor(i / columns) * (h + step), w, h },
  }));
  const rows = Math.ceil(region.edges.length / columns);
  return { region, form, folds, placed, box: { ...at, h: head + rows * h + (rows - 1) * step + pad } };
}

function moved(group: Group, by: number): Group {
  const down = (box: Box): Box => ({ ...box, y: box.y + by });
  return { ...group, box: down(group.box), placed: group.placed.map((p) => ({ ...p, box: down(p.box) })) };
}

interface Flow {
  readonly id: string;
  readonly from: Box;
  readonly to: Box;
  readonly value: number;
  readonly up: boolean;
}

function links(viewers: Box, groups: readonly Group[], shields: Group | undefined, origin: Box): Link[] {
  const up = (g: Group) => g.region.sums.count > g.region.sums.away;
  const behind = shields?.box ?? origin;
  const flows: Flow[] = [
    ...groups.map((g) => ({ id: `out ${g.region.name}`, from: viewers, to: g.box, value: g.region.sums.egress, up: up(g) })),
    ...groups.map((g) => ({ id: `in ${g.region.name}`, from: g.box, to: behind, value: g.region.sums.ingress, up: up(g) })),
    ...(shields?.placed.map((p) => ({ id: `shield ${p.edge.id}`, from: { ...p.box, w: shields.box.x + shields.box.w - p.box.x }, to: origin, value: p.edge.state === 'away' ? 0 : p.edge.ingress, up: p.edge.state !== 'away' })) ?? []),
  ];
  const most = Math.max(1, ...flows.map((f) => f.value));
  return flows.map((flow) => {
    const from = spread(flow, flows.filter((f) => f.from === flow.from), flow.from);
    const to = spread(flow, flows.filter((f) => f.to === flow.to), flow.to);
    return { id: flow.id, path: curve(flow.from.x + flow.from.w, from, flow.to.x, to), width: weight(flow.value, most), idle: !flow.up || flow.value <= 0 };
  });
}

/** weight is how wide the line of some traffic is, where the most is most: by area, so that little is seen too. */
export function weight(value: number, most: number): number {
  return value > 0 ? Math.round((1.5 + 12.5 * Math.sqrt(Math.min(1, value / most))) * 10) / 10 : 1.5;
}

/** spread is how high one of several lines meets a box: in their order, in its middle half. */
function spread(flow: Flow, all: readonly Flow[], box: Box): number {
  const n = all.length;
  if (n === 1) return box.y + box.h / 2;
  const room = Math.min(box.h * 0.7, (n - 1) * 18);
  return box.y + box.h / 2 - room / 2 + (room * all.indexOf(flow)) / (n - 1);
}

function curve(x1: number, y1: number, x2: number, y2: number): string {
  const bend = (x2 - x1) / 2;
  return `M${x1} ${y1.toFixed(1)}C${x1 + bend} ${y1.toFixed(1)} ${x2 - bend} ${y2.toFixed(1)} ${x2} ${y2.toFixed(1)}`;
}
