import { describe, expect, it } from 'vitest';
import { rateOf, stretches, timeTicks } from './encoding';

const shots = [{ start: 0, end: 4 }, { start: 4, end: 4.01 }, { start: 4.01, end: 4.02 }, { start: 4.02, end: 10 }];

describe('bits over shots', () => {
  it('keeps shots that can be seen', () => expect(stretches(shots, 100_000)).toHaveLength(4));
  it('joins those that cannot', () =>
    expect(stretches(shots, 100)).toEqual([{ first: 0, last: 0, start: 0, end: 4 }, { first: 1, last: 3, start: 4, end: 10 }]));
  it('has nothing of nothing', () => expect(stretches([], 100)).toEqual([]));
  it('divides bytes by time', () => {
    expect(rateOf({ first: 0, last: 0, start: 0, end: 4 }, [1000, 1, 1, 1])).toBe(2000);
    expect(rateOf({ first: 1, last: 3, start: 4, end: 10 }, [1000, 100, 200, 450])).toBe(1000);
    expect(rateOf({ first: 0, last: 0, start: 4, end: 4 }, [1000])).toBe(0);
  });
  it('has few round times', () => {
    expect(timeTicks(9.5, 720)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(timeTicks(125, 400)).toEqual([0, 30, 60, 90, 120]);
    expect(timeTicks(90_000, 100)).toHaveLength(2);
  });
});
