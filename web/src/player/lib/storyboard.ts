// Scrubbing pictures: a WebVTT file whose cues name a rectangle of a sprite,
// "sprite-00001.jpg#xywh=x,y,w,h" (Media Fragments URI 1.0, §4.2.2).

export interface Tile {
  readonly start: number;
  readonly end: number;
  readonly url: string;
  readonly x: number;
  readonly y: number;
  readonly w: number;
  readonly h: number;
}

const maxTiles = 20_000;
const timing = /^(?:(\d+):)?(\d\d):(\d\d)\.(\d{3})\s+-->\s+(?:(\d+):)?(\d\d):(\d\d)\.(\d{3})/;
const fragment = /^xywh=(?:pixel:)?(\d+),(\d+),(\d+),(\d+)$/;

/**
 * parseStoryboard reads the cues of text whose pictures are relative to base.
 * Cues that are not tiles, and pictures of another origin, are left out.
 */
export function parseStoryboard(text: string, base: string): Tile[] {
  const tiles: Tile[] = [];
  if (!text.replace(/^\uFEFF/, '').startsWith('WEBVTT')) return tiles;
  const lines = text.split(/\r\n|\r|\n/);
  for (let i = 0; i < lines.length - 1 && tiles.length < maxTiles; i++) {
    const times = timing.exec(lines[i]!);
    if (!times) continue;
    const tile = parseTile(lines[i + 1]!.trim(), base);
    const start = seconds(times, 1);
    const end = seconds(times, 5);
    if (tile && end > start) tiles.push({ start, end, ...tile });
  }
  return tiles.sort((a, b) => a.start - b.start);
}

function seconds(match: RegExpExecArray, at: number): number {
  const [h, m, s, ms] = [0, 1, 2, 3].map((i) => Number(match[at + i] ?? 0));
  return h! * 3600 + m! * 60 + s! + ms! / 1000;
}

function parseTile(payload: string, base: string): Omit<Tile, 'start' | 'end'> | undefined {
  const hash = payload.lastIndexOf('#');
  if (hash <= 0) return undefined;
  const area = fragment.exec(payload.slice(hash + 1));
  if (!area) return undefined;
  const [x, y, w, h] = area.slice(1).map(Number) as [number, number, number, number];
  if (w === 0 || h === 0) return undefined;
  try {
    const url = new URL(payload.slice(0, hash), base);
    return url.origin === new URL(base).origin ? { url: url.href, x, y, w, h } : undefined;
  } catch {
    return undefined;
  }
}

/** tileAt returns the tile shown at a time, the last one after the end. */
export function tileAt(tiles: readonly Tile[], time: number): Tile | undefined {
  let low = 0;
  let high = tiles.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (tiles[middle]!.start <= time) low = middle + 1;
    else high = middle;
  }
  return tiles[Math.max(0, low - 1)];
}
