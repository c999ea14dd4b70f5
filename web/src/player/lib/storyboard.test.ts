import { describe, expect, it } from 'vitest';
import { parseStoryboard, tileAt } from './storyboard';

const base = 'http://localhost/media/storyboard.vtt';
const cue = (times: string, payload: string) => `WEBVTT\n\n${times}\n${payload}\n`;

describe('parseStoryboard', () => {
  it('reads tiles, with and without hours, in order of time', () => {
    const text = [
      '\uFEFFWEBVTT - pictures',
      '',
      'NOTE made by hand',
      '',
      '2',
      '01:00:02.500 --> 01:00:05.000 align:start',
      'storyboard/sprite-00002.jpg#xywh=160,90,160,90',
      '',
      '00:00.000 --> 00:02.500',
      'storyboard/sprite-00001.jpg#xywh=pixel:0,0,160,90',
    ].join('\r\n');
    expect(parseStoryboard(text, base)).toEqual([
      { start: 0, end: 2.5, url: 'http://localhost/media/storyboard/sprite-00001.jpg', x: 0, y: 0, w: 160, h: 90 },
      { start: 3602.5, end: 3605, url: 'http://localhost/media/storyboard/sprite-00002.jpg', x: 160, y: 90, w: 160, h: 90 },
    ]);
  });

  it.each([
    ['no signature', '00:00.000 --> 00:01.000\na.jpg#xywh=0,0,1,1'],
    ['no rectangle', cue('00:00.000 --> 00:01.000', 'a.jpg')],
    ['an empty rectangle', cue('00:00.000 --> 00:01.000', 'a.jpg#xywh=0,0,0,1')],
    ['a negative place', cue('00:00.000 --> 00:01.000', 'a.jpg#xywh=-1,0,1,1')],
    ['no duration', cue('00:01.000 --> 00:01.000', 'a.jpg#xywh=0,0,1,1')],
    ['another host', cue('00:00.000 --> 00:01.000', 'http://elsewhere/a.jpg#xywh=0,0,1,1')],
    ['a script', cue('00:00.000 --> 00:01.000', 'javascript:alert(1)#xywh=0,0,1,1')],
    ['a broken address', cue('00:00.000 --> 00:01.000', 'http://[/a.jpg#xywh=0,0,1,1')],
    ['a cut file', 'WEBVTT\n\n00:00.000 --> 00:01.000'],
  ])('leaves out %s', (_, text) => {
    expect(parseStoryboard(text, base)).toEqual([]);
  });
});

describe('tileAt', () => {
  const tiles = parseStoryboard(
    'WEBVTT\n\n00:00.000 --> 00:02.000\na.jpg#xywh=0,0,1,1\n\n00:02.000 --> 00:04.000\nb.jpg#xywh=0,0,1,1\n',
    base,
  );
  it.each([
    [-1, 'a'],
    [0, 'a'],
    [1.99, 'a'],
    [2, 'b'],
    [99, 'b'],
  ])('at %d s shows %s', (time, name) => {
    expect(tileAt(tiles, time)?.url).toBe(`http://localhost/media/${name}.jpg`);
  });
  it('shows nothing of nothing', () => {
    expect(tileAt([], 1)).toBeUndefined();
  });
});
