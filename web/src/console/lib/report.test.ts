import { expect, it } from 'vitest';
import { framedReport, readReportMessage } from './report';

it('says how a framed report shall look after the #', () => {
  expect(framedReport('/reports/t/ast_1', { theme: 'dark', language: 'zh' })).toBe('/reports/t/ast_1#framed=1&theme=dark&language=zh');
});

it('takes from a report what makes sense, and nothing else', () => {
  expect(readReportMessage({ liuyunReport: { height: 1200 } })).toEqual({ height: 1200 });
  expect(readReportMessage({ liuyunReport: { at: 0 } })).toEqual({ at: 0 });
  expect(readReportMessage({ liuyunReport: { height: 1e9 } })).toEqual({ height: 100_000 });
  for (const odd of [null, 5, 'x', {}, { height: 5 }, { liuyunReport: 7 }, { liuyunReport: null }, { liuyunReport: { height: '5' } }, { liuyunReport: { at: -1 } }, { liuyunReport: { at: NaN } }]) {
    expect(readReportMessage(odd)).toEqual({});
  }
});
