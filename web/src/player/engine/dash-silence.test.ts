import type { MediaPlayerClass } from 'dashjs';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { leaveTheSilent } from './dash-silence';

type Interceptor = Parameters<MediaPlayerClass['addRequestInterceptor']>[0];
type Intercepted = Parameters<Interceptor>[0];

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** asks has a download begin, and says what becomes of it in two seconds. */
async function asks(media: object, also: boolean): Promise<string[]> {
  const done: string[] = [];
  let interceptor: Interceptor | undefined;
  leaveTheSilent({ addRequestInterceptor: (fn) => void (interceptor = fn) }, () => also);
  const request = { customData: { request: media, abort: () => done.push('abort'), onloadend: () => done.push('end') } } as unknown as Intercepted;
  expect(await interceptor?.(request)).toBe(request);
  vi.advanceTimersByTime(1400);
  expect(done).toEqual([]);
  vi.advanceTimersByTime(600);
  return done;
}

const nothing = { firstByteDate: null, bytesLoaded: NaN, endDate: null };

test('a server that sends nothing is given up', async () => expect(await asks(nothing, true)).toEqual(['abort', 'end']));
test('not where there is no other', async () => expect(await asks(nothing, false)).toEqual([]));
test('not one that has begun', async () => expect(await asks({ ...nothing, firstByteDate: new Date() }, true)).toEqual([]));
test('not one of whose answer there is some', async () => expect(await asks({ ...nothing, bytesLoaded: 5 }, true)).toEqual([]));
test('not one that has ended', async () => expect(await asks({ ...nothing, endDate: new Date() }, true)).toEqual([]));
