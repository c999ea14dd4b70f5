import { describe, expect, it } from 'vitest';
import { daysOf, lastDays, scale, thisMonth } from './chart';
import { frameCode, scriptCode } from './embed';

describe('scale', () => {
  it.each([
    [0, 1, 2],
    [1, 1, 5],
    [3.9, 4, 5],
    [97, 100, 5],
    [101, 150, 4],
    [210, 300, 4],
    [84e9, 1e11, 5],
    [0.003, 0.003, 4],
  ])('%d goes up to %d in %d ticks', (largest, top, ticks) => {
    const got = scale(largest);
    expect(got.top).toBeCloseTo(top, 9);
    expect(got.ticks).toHaveLength(ticks);
    expect(got.top).toBeGreaterThanOrEqual(largest * 0.999_999);
  });
});

describe('ranges', () => {
  const now = Date.parse('2026-03-02T01:00:00Z');
  it('ends today', () => expect(lastDays(7, now)).toEqual({ from: '2026-02-24', to: '2026-03-02' }));
  it('names each day, over the end of a month', () => expect(daysOf('2026-02-27', '2026-03-01')).toEqual(['2026-02-27', '2026-02-28', '2026-03-01']));
  it('begins with the month', () => expect(thisMonth(now)).toEqual({ from: '2026-03-01', to: '2026-03-02' }));
});

describe('embed code', () => {
  it('lets no name out of its attribute', () => {
    const code = frameCode('https://a.example/embed/ast_1', '"><script>alert(1)</script>', 1280, 720);
    expect(code).toContain('title="&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;"');
    expect(code).toContain('aspect-ratio:1280/720');
    expect(code.match(/<script/g)).toBeNull();
  });
  it('names asset and token for the script', () => {
    expect(scriptCode('https://a.example/embed/ast_1', 'A')).toBe(
      '<script src="https://a.example/embed.js" data-asset="ast_1" data-title="A" data-ratio="16/9"></script>',
    );
    expect(scriptCode('https://a.example/embed/~to.k/ast_1', 'A', 9, 16)).toContain('data-asset="ast_1" data-token="to.k"');
  });
});
