import { describe, expect, it } from 'vitest';
import { bitrate, bytes, codecName, frameRate, levelName } from './format';
import { clamp, clock } from './time';

describe('clock', () => {
  it.each([
    [0, '0:00'],
    [7.9, '0:07'],
    [29.97, '0:30'],
    [754, '12:34'],
    [3723, '1:02:03'],
    [-1, '0:00'],
    [NaN, '–:––'],
    [Infinity, '–:––'],
  ])('%d s is %s', (seconds, want) => expect(clock(seconds)).toBe(want));
});

describe('clamp', () => {
  it.each([
    [5, 0, 10, 5],
    [-5, 0, 10, 0],
    [15, 0, 10, 10],
  ])('%d in [%d, %d] is %d', (value, low, high, want) => expect(clamp(value, low, high)).toBe(want));
});

describe('bitrate', () => {
  it.each([
    [undefined, '–'],
    [0, '–'],
    [480_000, '480 kb/s'],
    [999_499, '999 kb/s'],
    [999_500, '1.0 Mb/s'],
    [2_840_000, '2.8 Mb/s'],
    [12_400_000, '12 Mb/s'],
  ])('%s is %s', (bps, want) => expect(bitrate(bps)).toBe(want));
});

describe('bytes', () => {
  it.each([
    [12, '12 B'],
    [4_139_823, '4.1 MB'],
    [250_000_000, '250 MB'],
    [3_200_000_000_000_000, '3200 TB'],
  ])('%d is %s', (n, want) => expect(bytes(n)).toBe(want));
});

describe('codecName', () => {
  it.each([
    ['avc1.64001f,mp4a.40.2', 'H.264'],
    ['hvc1.1.6.L93.B0', 'HEVC'],
    ['av01.0.05M.08', 'AV1'],
    ['h264', 'H.264'],
    ['mp4a.40.2', 'AAC'],
    ['pcm_s16le', 'pcm_s16le'],
    [undefined, ''],
  ])('%s is %s', (codecs, want) => expect(codecName(codecs)).toBe(want));
});

describe('frameRate', () => {
  it.each([
    ['30000/1001', '29.97'],
    ['25', '25'],
    [23.976, '23.98'],
    ['0/0', ''],
    ['nonsense', ''],
    [undefined, ''],
  ])('%s is %s', (value, want) => expect(frameRate(value)).toBe(want));
});

describe('levelName', () => {
  it.each([
    [1280, 720, '720p'],
    [720, 1280, '720p'],
    [0, 480, '480p'],
    [0, 0, ''],
  ])('%d×%d is %s', (width, height, want) => expect(levelName(width, height)).toBe(want));
});
