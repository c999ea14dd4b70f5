import { describe, expect, it } from 'vitest';
import type { SeenRequest, TrafficPoint } from '../../api/types';
import { isRequest, matches, newest } from './requests';
import { current, minutes, offload, originViews, part, statusShares, total } from './traffic';

const now = Date.parse('2026-03-02T01:00:05Z');
const point = (at: string, requests: number): TrafficPoint => ({ at: `2026-03-02T${at}Z`, requests, hits: requests / 2, bytes: requests * 100, fetched: requests * 10 });
const points = [point('00:30:30', 5), point('00:59:40', 30), point('00:59:50', 60), point('01:00:00', 90), point('01:00:10', 1000)];

describe('traffic', () => {
  it('is counted for the hour', () => expect(total(points)).toEqual({ requests: 1185, hits: 592.5, bytes: 118_500, fetched: 11_850 }));
  it('is a second’s now, without the ten seconds that are not over', () => expect(current(points, now)).toMatchObject({ requests: 6, bytes: 600 }));
  it('is nothing now after a while', () => expect(current(points, now + 120_000).requests).toBe(0));
  it('goes by the server’s clock where ours is late', () => expect(current(points, now - 3_600_000).requests).toBe(6));
  it('has a place for each minute', () => {
    const got = minutes(points, now);
    expect(got).toHaveLength(60);
    expect(new Date(got.at(-1)!.at).toISOString()).toBe('2026-03-02T01:01:00.000Z');
    expect(got.at(-1)!.requests).toBe(1000);
    expect(got.slice(-2).map((m) => m.seconds)).toEqual([60, 10]);
    expect(got.at(-2)!.requests).toBe(180);
    expect(got.reduce((n, m) => n + m.requests, 0)).toBe(1185);
  });
  it('has no part of nothing', () => {
    expect(part(0, 0)).toBeUndefined();
    expect(offload({ requests: 0, hits: 0, bytes: 0, fetched: 5 })).toBeUndefined();
    expect(offload({ requests: 1, hits: 0, bytes: 100, fetched: 25 })).toBe(0.75);
    expect(offload({ requests: 1, hits: 0, bytes: 100, fetched: 500 })).toBe(0);
  });
  it('shares the answers', () => expect(statusShares({ '2xx': 6, '5xx': 2, '3xx': 0 })).toEqual([{ name: '2xx', count: 6, share: 0.75 }, { name: '5xx', count: 2, share: 0.25 }]));
  it('puts origins together', () => {
    const down = { edge: 'b', url: 'http://o', state: 'down' as const, reason: 'refused' };
    expect(originViews([{ edge: 'a', url: 'http://o', state: 'up' }, down])).toEqual([{ url: 'http://o', up: 1, troubles: [down] }]);
  });
});

describe('the live tail', () => {
  const request: SeenRequest = { at: '', edge: 'eu-1', client: '192.0.2.0', method: 'GET', host: 'a.example', path: '/Film.mp4', status: 206, bytes: 1, seconds: 0.1, cache: 'hit' };
  const all = { status: '', cache: '', text: '' };
  it.each([
    [all, true],
    [{ ...all, status: '2' }, true],
    [{ ...all, status: '4' }, false],
    [{ ...all, cache: 'miss' }, false],
    [{ ...all, text: ' film' }, true],
    [{ ...all, text: 'a.example/film' }, true],
    [{ ...all, text: 'EU-1' }, true],
    [{ ...all, text: 'us' }, false],
  ])('%j', (filter, want) => expect(matches(request, filter)).toBe(want));
  it('knows a request from anything else', () => {
    expect(isRequest(request)).toBe(true);
    for (const other of [null, 'x', {}, { ...request, status: '206' }, { ...request, path: undefined }]) expect(isRequest(other)).toBe(false);
  });
  it('keeps the newest', () => {
    expect(newest([4, 5], [3, 2, 1], 4)).toEqual([5, 4, 3, 2]);
    expect(newest([1, 2, 3, 4, 5], [0], 3)).toEqual([5, 4, 3]);
    expect(newest([], [1], 3)).toEqual([1]);
  });
});
