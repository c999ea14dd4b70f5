import { afterEach, describe, expect, it, vi } from 'vitest';
import { askOnAir, firstURI, hasEnded, type OnAir } from './onair';

const master = '#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,URI="audio/media.m3u8"\n#EXT-X-STREAM-INF:BANDWIDTH=1\r\nvideo/media.m3u8\r\n';

it('finds the first playlist', () => {
  expect(firstURI(master)).toBe('video/media.m3u8');
  expect(firstURI('#EXTM3U\n')).toBeUndefined();
});
it('finds the end', () => {
  expect(hasEnded('#EXTM3U\n#EXTINF:4,\n1.m4s\n#EXT-X-ENDLIST\n')).toBe(true);
  expect(hasEnded('#EXTM3U\n#EXTINF:4,\n1.m4s\n')).toBe(false);
});

describe('askOnAir', () => {
  afterEach(() => vi.unstubAllGlobals());
  const answers = (of: Record<string, [number, string]>) =>
    vi.stubGlobal('fetch', async (url: string | URL) => {
      const [status, text] = of[String(url)]!;
      return { ok: status === 200, status, url: String(url), text: async () => text };
    });
  const base = 'http://h/play/str_1/';
  it.each<[string, Record<string, [number, string]>, OnAir]>([
    ['goes on', { 'master.m3u8': [200, master], 'video/media.m3u8': [200, '#EXTM3U\n'] }, 'on'],
    ['has ended', { 'master.m3u8': [200, master], 'video/media.m3u8': [200, '#EXTM3U\n#EXT-X-ENDLIST\n'] }, 'off'],
    ['has not begun', { 'master.m3u8': [503, ''] }, 'off'],
    ['is gone', { 'master.m3u8': [404, ''] }, 'absent'],
    ['is not to be seen', { 'master.m3u8': [403, ''] }, 'refused'],
    ['cannot be read', { 'master.m3u8': [500, ''] }, 'away'],
  ])('a stream that %s', async (_, files, want) => {
    answers(Object.fromEntries(Object.entries(files).map(([name, answer]) => [base + name, answer])));
    expect(await askOnAir(`${base}master.m3u8`, new AbortController().signal)).toBe(want);
  });
  it('a server that does not answer', async () => {
    vi.stubGlobal('fetch', () => Promise.reject(new TypeError('offline')));
    expect(await askOnAir(`${base}master.m3u8`, new AbortController().signal)).toBe('away');
  });
});
