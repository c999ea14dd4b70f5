import { createContext } from 'svelte';
import type { Stream, StreamHealth } from '../../api/types';
import type { Key } from '../messages';
import { idOf } from './status';

/** The keys that were made since the page was opened, by stream: the server does not say them again. */
export const [getStreamKeys, setStreamKeys] = createContext<Map<string, string>>();

/** HealthMessage comes with stream.health, each second that a stream is on air. */
export interface HealthMessage {
  readonly id: string;
  readonly status: Stream['status'];
  readonly health: StreamHealth;
  readonly viewers: number;
}

/** State is where a stream is: the states of the API, and stopped. */
export type State = Stream['status'] | 'stopped';

const looks: Readonly<Record<State, { readonly words: Key; readonly tone: string }>> = {
  idle: { words: 'streamIdle', tone: '' },
  stopped: { words: 'streamStopped', tone: '' },
  connecting: { words: 'streamConnecting', tone: 'busy' },
  live: { words: 'streamLive', tone: 'bad' }, // red is the colour of being on air
  reconnecting: { words: 'streamReconnecting', tone: 'warn' },
  ended: { words: 'streamEnded', tone: '' },
};

/** stateOf is where a stream is: a stopped one has that state when it is off the air. */
export const stateOf = (stream: Stream): State => (stream.stopped && stream.status === 'idle' ? 'stopped' : stream.status);

/** lookOf is how the state of a stream is shown. */
export const lookOf = (stream: Stream) => looks[stateOf(stream)];

/** onAir reports whether there is something to watch, or is to come back. */
export const onAir = (stream: Stream): boolean => stream.status === 'live' || stream.status === 'reconnecting';

/** isStream tells a whole stream from a part of one. */
export function isStream(data: unknown): data is Stream {
  return typeof data === 'object' && data !== null && 'ingest' in data && 'playback' in data && idOf(data) !== '';
}

/** follow is a stream after an event: itself where the event is about another. */
export function follow(stream: Stream, type: string, data: unknown): Stream {
  if (idOf(data) !== stream.id) return stream;
  if (type === 'stream.health') {
    const { status, health, viewers } = data as HealthMessage;
    return { ...stream, status, health, viewers };
  }
  // An event is of the moment at which it was written: what is measured may be newer here.
  if (isStream(data) && data.rev >= stream.rev) return { ...data, health: data.health ?? (onAir(data) ? stream.health : null) };
  return stream;
}

/** sourceLooks is how the state of a stream's source is shown. */
export const sourceLooks: Readonly<Record<NonNullable<Stream['source']>['state'], { readonly words: Key; readonly tone: string }>> = {
  stopped: { words: 'sourceStopped', tone: '' },
  connecting: { words: 'sourceConnecting', tone: 'busy' },
  running: { words: 'sourceRunning', tone: 'good' },
  waiting: { words: 'sourceWaiting', tone: 'warn' },
};

const problemWords: Readonly<Record<string, Key>> = {
  key_frames: 'problemKeyFrames',
  no_pictures: 'problemNoPictures',
  sound_missing: 'problemSound',
  jumps: 'problemJumps',
  storage: 'problemStorage',
  recording: 'problemRecording',
  key_frames_irregular: 'problemIrregular',
  open_gops: 'problemOpen',
  drift: 'problemDrift',
  format_changes: 'problemFormats',
  backup_differs: 'problemBackup',
  loss: 'problemLoss',
  rungs_shed: 'problemShed',
  transcoded: 'problemTranscoded',
};

/** problemWord says a problem in the viewer's language; undefined where only the server has words for it. */
export const problemWord = (code: string): Key | undefined => problemWords[code];

/** Way is a protocol by which encoders send. */
export type Way = 'rtmp' | 'srt' | 'rtsp' | 'whip';

/** waysOf lists the protocols that the server listens for, the usual one first. */
export const waysOf = (stream: Stream): Way[] => (['rtmp', 'srt', 'rtsp', 'whip'] as const).filter((way) => serverOf(stream, way));

/** serverOf is where a protocol is sent to, without the key; empty where it is not listened for. */
export const serverOf = (stream: Stream, way: Way): string => stream.ingest[way]?.url || (way === 'rtmp' && stream.ingest.rtmps?.url) || '';

/** addressOf is a server's address and the key in one, as programs take it. */
export function addressOf(way: Way, server: string, key: string): string {
  return way === 'srt' ? `${server}?streamid=publish:${key}` : `${server}/${key}`;
}

const muxers: Readonly<Record<Way, string>> = { rtmp: '-f flv', srt: '-f mpegts', rtsp: '-f rtsp -rtsp_transport tcp', whip: '' };

/** pushCommand is the line that sends a file as an encoder does. */
export function pushCommand(way: Way, server: string, key: string): string {
  return `ffmpeg -re -i film.mp4 -c:v libx264 -preset veryfast -b:v 3M -maxrate 3M -bufsize 6M -pix_fmt yuv420p -force_key_frames "expr:gte(t,n_forced*2)" -c:a aac -b:a 128k ${muxers[way]} "${addressOf(way, server, key)}"`;
}
