import { describe, expect, it } from 'vitest';
import type { Stream, StreamHealth } from '../../api/types';
import { follow, lookOf, problemWord, pushCommand, stateOf, waysOf } from './streams';

const health = { bitrate: 3_000_000, problems: [] } as unknown as StreamHealth;
const stream = { id: 'str_1', name: 'Town hall', status: 'live', rev: 3, health, ingest: { rtmp: { url: 'rtmp://h/live', key: '' } }, playback: {} } as unknown as Stream;

describe('follow', () => {
  it('leaves other streams alone', () => expect(follow(stream, 'stream.idle', { ...stream, id: 'str_2', status: 'idle', rev: 9 })).toBe(stream));
  it('takes what is newer', () => expect(follow(stream, 'stream.updated', { ...stream, name: 'Hall', rev: 4 }).name).toBe('Hall'));
  it('leaves what is older', () => expect(follow(stream, 'stream.updated', { ...stream, name: 'Hall', rev: 2 })).toBe(stream));
  it('keeps what was measured while it is on air', () => {
    expect(follow(stream, 'stream.reconnecting', { ...stream, status: 'reconnecting', health: null, rev: 4 }).health).toBe(health);
    expect(follow(stream, 'stream.idle', { ...stream, status: 'idle', health: null, rev: 4 }).health).toBeNull();
  });
  it('takes measurements', () => {
    const after = follow({ ...stream, status: 'connecting', health: null }, 'stream.health', { id: 'str_1', status: 'live', health });
    expect(after).toMatchObject({ status: 'live', health, name: 'Town hall' });
  });
});

it('says of a stopped stream that it is stopped, once it is off the air', () => {
  const stopped = { ...stream, stopped: true };
  expect([stateOf(stream), stateOf(stopped)]).toEqual(['live', 'live']);
  expect(stateOf({ ...stopped, status: 'idle' })).toBe('stopped');
  expect(stateOf({ ...stream, stopped: false, status: 'idle' })).toBe('idle');
  expect(lookOf({ ...stopped, status: 'idle' }).words).toBe('streamStopped');
});

it('has words for the problems of the API, and for no others', () => {
  expect(problemWord('key_frames')).toBe('problemKeyFrames');
  expect(problemWord('another')).toBeUndefined();
});

it('writes commands that send to the key', () => {
  expect(pushCommand('rtmp', 'rtmp://h/live', 'lys_x')).toMatch(/ -f flv "rtmp:\/\/h\/live\/lys_x"$/);
  expect(pushCommand('rtsp', 'rtsp://h:8554/live', 'lys_x')).toMatch(/ -f rtsp -rtsp_transport tcp "rtsp:\/\/h:8554\/live\/lys_x"$/);
  expect(pushCommand('srt', 'srt://h:8890', 'lys_x')).toMatch(/ -f mpegts "srt:\/\/h:8890\?streamid=publish:lys_x"$/);
});

it('lists what is listened for', () => {
  const ingest = { rtmp: { url: '', key: '' }, srt: { url: 'srt://h:8890' }, rtsp: { url: 'rtsp://h:8554/live' }, whip: { url: '' } };
  expect(waysOf({ ...stream, ingest } as unknown as Stream)).toEqual(['srt', 'rtsp']);
  expect(waysOf(stream)).toEqual(['rtmp']);
});
