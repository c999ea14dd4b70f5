import type { MediaPlayerClass } from 'dashjs';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { leaveTheSilent } from './dash-silence';

type Interceptor = Parameters<MediaPlayerClass['addRequestInterceptor']>[0];
type Intercepted = Parameters<Interceptor>[0];

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** asks has a download begin, of a stream that is live where its server answers something else or does not, and says what becomes of it in two seconds, and later. */
async function asks(media: object, also: boolean, other?: () => Promise<Response>): Promise<string[]> {
  const asked: string[] = [];
  vi.stubGlobal('fetch', (address: URL) => {
    asked.push(address.href);
    return other?.();
  });
  const done: string[] = [];
  let interceptor: Interceptor | undefined;
  leaveTheSilent({ addRequestInterceptor: (fn) => void (interceptor = fn) }, () => also, other !== undefined);
  const request = { url: 'https://edge.example/play/str_1/video/7.m4s', customData: { request: media, abort: () => done.push('abort'), onloadend: () => done.push('end') } } as unknown as Intercepted;
  expect(await interceptor?.(request)).toBe(request);
  await vi.advanceTimersByTimeAsync(1400);
  expect(done).toEqual([]);
  await vi.advanceTimersByTimeAsync(600);
  if (other === undefined) expect(asked).toEqual([]);
  return done;
}

const nothing = { firstByteDate: null, bytesLoaded: NaN, endDate: null };

test('a server that sends nothing is given up', async () => expect(await asks(nothing, true)).toEqual(['abort', 'end']));
test('not where there is no other', async () => expect(await asks(nothing, false)).toEqual([]));
test('not one that has begun', async () => expect(await asks({ ...nothing, firstByteDate: new Date() }, true)).toEqual([]));
test('not one of whose answer there is some', async () => expect(await asks({ ...nothing, bytesLoaded: 5 }, true)).toEqual([]));
test('not one that has ended', async () => expect(await asks({ ...nothing, endDate: new Date() }, true)).toEqual([]));

test('one that is live and gone is given up as soon', async () => expect(await asks(nothing, true, () => new Promise(() => undefined))).toEqual(['abort', 'end']));
test('one that refuses all else is, too', async () => expect(await asks(nothing, true, () => Promise.reject(new TypeError('refused')))).toEqual(['abort', 'end']));
test('one that lives may hold what is to come, for eight seconds', async () => {
  const done = await asks(nothing, true, () => Promise.resolve(new Response()));
  expect(done).toEqual([]);
  await vi.advanceTimersByTimeAsync(5900); // 7.9 s in all
  expect(done).toEqual([]);
  await vi.advanceTimersByTimeAsync(200);
  expect(done).toEqual(['abort', 'end']);
});
