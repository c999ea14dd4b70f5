import { describe, expect, it } from 'vitest';
import { mendSeeks } from './dash-seek';

type Part = Record<string, (...args: never[]) => unknown>;

/** mended is a part of dash.js with the methods that replace some of its own. */
function mended(name: string, part: Part): Part {
  const extensions: Record<string, object> = {};
  mendSeeks({
    extend: (name, extension, override) => {
      expect(override).toBe(true);
      extensions[name] = extension;
    },
  });
  return { ...part, ...(extensions[name] as (this: { parent: Part }) => Part).call({ parent: part }) };
}

/** buffered is a dash.js buffer of these ranges of seconds. */
function buffered(...list: [number, number][]): Part {
  const ranges = { length: list.length, start: (i: number) => list[i]![0], end: (i: number) => list[i]![1] };
  return {
    getBuffer: () => ({ getAllBufferRanges: () => ranges }),
    hasBufferAtTime: (time: number) => list.some(([start, end]) => start <= time && time <= end),
  };
}

describe('mendSeeks', () => {
  it.each([
    ['what is buffered to its end', 5, [[0, 27]], true],
    ['the last of several ranges', 40, [[0, 27], [39, 72]], true],
    ['its start', 39, [[0, 27], [39, 72]], true],
    ['before a hole', 22, [[0, 27], [39, 72]], false],
    ['just before a hole', 26.95, [[0, 27], [39, 72]], false],
    ['a hole', 30, [[0, 27], [39, 72]], false],
    ['nothing', 0, [], false],
  ] as [string, number, [number, number][], boolean][])('goes on from %s only where no hole follows', (_, time, ranges, want) => {
    const part = mended('BufferController', buffered(...ranges));
    expect((part['hasBufferAtTime'] as (time: number) => boolean)(time)).toBe(want);
  });

  it('knows of no buffer before there is one', () => {
    const part = mended('BufferController', { getBuffer: () => null, hasBufferAtTime: () => false });
    expect((part['hasBufferAtTime'] as (time: number) => boolean)(0)).toBe(false);
  });

  it('does not take subtitles on their way as loaded', () => {
    const part = mended('NotFragmentedTextBufferController', { getContinuousBufferTimeForTargetTime: () => Infinity });
    expect(part['getContinuousBufferTimeForTargetTime']!()).toBeNaN();
  });
});
