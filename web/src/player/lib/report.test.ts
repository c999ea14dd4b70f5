import { describe, expect, it } from 'vitest';
import { ladder, rungOf } from './ladder';
import { readReport } from './report';
import { SegmentLog } from './segments';

describe('readReport', () => {
  it('reads what it knows', () => {
    const report = readReport({
      version: 1,
      source: { name: 'in.mp4', bytes: 12, duration_s: 30.02, video: { codec: 'h264', width: 854, frame_rate: { num: 24, den: 1 } }, audio: [{ language: 'eng' }] },
      renditions: [{ id: 'h264-720p', width: 1280, height: 720, bandwidth: 2_840_000, later: true }],
      warnings: [{ code: 'odd', message: 'an oddity' }, { code: 'silent' }],
    });
    expect(report).toEqual({
      name: 'in.mp4',
      duration: 30.02,
      size: 12,
      video: { codec: 'h264', width: 854, frame_rate: '24/1' },
      audio: [{ language: 'eng' }],
      renditions: [{ id: 'h264-720p', width: 1280, height: 720, bandwidth: 2_840_000 }],
      warnings: [{ code: 'odd', message: 'an oddity' }],
    });
  });

  it.each([[null], ['text'], [[1]], [undefined]])('refuses %j', (json) => expect(readReport(json)).toBeUndefined());
  it('lives with wrong types', () => {
    const json = { source: 7, renditions: { a: 1 }, warnings: ['x', null, { message: 3 }] };
    expect(readReport(json)).toEqual({ audio: [], renditions: [], warnings: [] });
  });
});

describe('ladder', () => {
  const levels = [
    { width: 640, height: 360, codec: 'avc1.64001e', bitrate: 800_000 },
    { width: 1280, height: 720, codec: 'avc1.64001f', bitrate: 2_900_000 },
  ];

  it('comes from the manifest where there is no report', () => {
    expect(ladder([], levels).map((r) => r.name)).toEqual(['720p', '360p']);
  });

  it('finds the rung that plays by size and codec, then by the nearest bit rate', () => {
    const rungs = ladder(
      [
        { id: 'a', codecs: 'avc1.64001f', width: 1280, height: 720, bandwidth: 2_840_000 },
        { id: 'b', codecs: 'avc1.64001f', width: 1280, height: 720, bandwidth: 1_500_000 },
        { id: 'c', codecs: 'av01.0.05M.08', width: 1280, height: 720, bandwidth: 2_900_000 },
      ],
      [],
    );
    expect(rungOf(levels[1], rungs)?.key).toBe('a');
    expect(rungOf(levels[0], rungs)).toBeUndefined();
    expect(rungOf(undefined, rungs)).toBeUndefined();
  });
});

describe('SegmentLog', () => {
  it('measures the segment at a time, and the latest where one replaced another', () => {
    const log = new SegmentLog();
    log.add(0, 4, 500_000);
    log.add(4, 4, 250_000);
    log.add(0, 4, 100_000);
    log.add(8, 0, 1);
    expect([0, 3.9, 4, 8].map((time) => log.bitrateAt(time))).toEqual([200_000, 200_000, 500_000, undefined]);
  });
});
