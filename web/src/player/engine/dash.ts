import { MediaPlayer, type MediaInfo, type MediaPlayerClass, type Representation } from 'dashjs';
import { mendSeeks } from './dash-seek';
import { leaveTheSilent } from './dash-silence';
import { redraw, type Engine, type Fault, type FaultKind, type Level, type Listener, type Live, type Source, type Track } from './engine';

/** A rung in DASH: dash.js keeps each codec in a track (adaptation set) of its own. */
interface Rung extends Level {
  readonly track: MediaInfo;
  readonly id: string;
}

interface Download {
  readonly request?: { readonly url?: string; readonly mediaType?: string };
  readonly response?: { readonly status?: number };
}

/** openDASH plays an MPD with dash.js over Media Source Extensions. */
export function openDASH(video: HTMLVideoElement, source: Source, at: number, listener: Listener): Engine {
  const player = MediaPlayer().create();
  // A stream that goes on may have holes that nothing will ever fill.
  if (!source.live) mendSeeks(player);
  player.updateSettings({
    debug: { logLevel: 0 },
    streaming: {
      text: { defaultEnabled: false },
      buffer: { fastSwitchEnabled: true, bufferToKeep: 30 },
      // A viewer who picks another codec wants to see it now, not after the buffer.
      trackSwitchMode: { audio: 'alwaysReplace', video: 'alwaysReplace' },
      ...(source.live && patient),
    },
  });
  const state: State = { rungs: [], chosen: -1, shown: undefined, pending: undefined, replacing: undefined, loaded: false, words: [], servers: 1, failures: 0 };
  listen(player, video, state, listener);
  leaveTheSilent(player, () => state.servers > 1, source.live);
  // The player counts from where the presentation starts, which need not be 0. A stream
  // has another time here than with other engines: it begins at the live edge.
  const closing = new AbortController();
  if (source.live) {
    letBehind(player, video, closing.signal);
    showFirst(video, closing.signal);
  }
  player.initialize(video, source.dash, false, at > 0 && !source.live ? at : NaN);

  return {
    kind: 'dash',
    levels: () => state.rungs,
    playing: () => {
      // dash.js tells of changes, not of what it begins with.
      state.shown ??= player.getCurrentRepresentationForType('video')?.id;
      return state.rungs.findIndex((r) => r.id === state.shown);
    },
    chosen: () => state.chosen,
    choose: (i) => {
      choose(player, state, i);
      listener.changed();
    },
    audio: () => player.getTracksFor('audio').map(track),
    audioChosen: () => player.getTracksFor('audio').findIndex((t) => t.index === player.getCurrentTrackFor('audio')?.index),
    chooseAudio: (i) => {
      const wanted = player.getTracksFor('audio')[i];
      if (wanted) player.setCurrentTrack(wanted);
    },
    text: () => state.words,
    textChosen: () => (player.isTextEnabled() ? player.getCurrentTextTrackIndex() : -1),
    chooseText: (i) => {
      player.enableText(i >= 0);
      player.setTextTrack(i);
      listener.changed();
    },
    live: () => (source.live ? liveOf(player) : undefined),
    bandwidth: () => player.getAverageThroughput(state.rungs.length > 0 ? 'video' : 'audio') * 1000 || undefined,
    destroy: () => {
      closing.abort();
      player.destroy();
    },
  };
}

/**
 * patient asks half a minute for what a stream that goes on is made of, as a server that
 * starts anew has not got it yet. dash.js gives up in a second where latency is low.
 */
const patient = {
  retryIntervals: { MPD: 500, MediaSegment: 500, InitializationSegment: 500, lowLatencyReductionFactor: 1 },
  retryAttempts: { MPD: 60, MediaSegment: 60, InitializationSegment: 60, lowLatencyMultiplyFactor: 1 },
};

/**
 * showFirst has a stream begin that is opened in its first second. dash.js begins a little
 * before its first picture then, or replaces what a decoder has begun with, and no picture
 * comes of the rest, though it is there.
 */
function showFirst(video: HTMLVideoElement, closing: AbortSignal): void {
  const every = 400; // milliseconds
  const timer = setInterval(() => {
    const { buffered, currentTime: now, readyState, seeking } = video;
    if (readyState >= HTMLMediaElement.HAVE_CURRENT_DATA) clearInterval(timer);
    else if (buffered.length > 0) {
      const begins = buffered.start(0);
      const stands = begins > now ? begins - now < 1 : !seeking;
      if (stands && buffered.end(0) - now > 1) video.currentTime = Math.max(now, begins) + 0.05;
    }
  }, every);
  closing.addEventListener('abort', () => clearInterval(timer));
}

/** follows is how far behind the live edge somebody may be who is brought back to it, in seconds. */
const follows = 10;

/**
 * letBehind leaves a viewer where they have gone back to: dash.js would play faster from
 * there, or go to the live edge at once, as it does for one who has fallen behind.
 */
function letBehind(player: MediaPlayerClass, video: HTMLVideoElement, closing: AbortSignal): void {
  const look = () => {
    const live = liveOf(player);
    if (live) player.updateSettings({ streaming: { liveCatchup: { enabled: live.edge - video.currentTime < follows } } });
  };
  video.addEventListener('seeking', look, { signal: closing });
}

/** liveOf says where a stream is; undefined for one that is over, or has not begun. */
function liveOf(player: MediaPlayerClass): Live | undefined {
  if (!player.isReady() || !player.isDynamic()) return undefined;
  const { start, end } = player.getDvrWindow();
  if (!Number.isFinite(end)) return undefined;
  const latency = player.getCurrentLiveLatency();
  return { start, edge: Math.max(start, end - player.getTargetLiveDelay()), latency: Number.isFinite(latency) ? latency : 0 };
}

interface State {
  rungs: readonly Rung[];
  chosen: number;
  /** id of the representation on screen */
  shown: string | undefined;
  /** the rung to take when its track has been switched to */
  pending: Rung | undefined;
  /** id of the representation that takes the place of what is buffered */
  replacing: string | undefined;
  /** its segment under the play head has arrived and waits to be appended */
  loaded: boolean;
  words: readonly Track[];
  /** how many servers have it; 1 where no more are known */
  servers: number;
  /** how many downloads have failed since one came to its end */
  failures: number;
}

function listen(player: MediaPlayerClass, video: HTMLVideoElement, state: State, listener: Listener): void {
  const events = MediaPlayer.events;
  let begun = false;
  player.on(events.STREAM_INITIALIZED, () => {
    // Who has pressed play by now was not heard: manifests would never be loaded again.
    if (!begun && !video.paused) video.dispatchEvent(new Event('play'));
    begun = true;
    state.rungs = rungs(player);
    state.shown = player.getCurrentRepresentationForType('video')?.id;
    listener.changed();
  });
  player.on(events.QUALITY_CHANGE_RENDERED, (e: { mediaType: string; newRepresentation: Representation }) => {
    if (e.mediaType !== 'video') return;
    state.shown = e.newRepresentation.id;
    listener.changed();
  });
  player.on(events.TRACK_CHANGE_RENDERED, () => {
    state.rungs = rungs(player);
    listener.changed();
  });
  player.on(events.MANIFEST_LOADED, () => listener.advanced());
  // MediaPlayerEvents has it; its types do not.
  player.on('contentSteeringRequestCompleted', (e: { currentSteeringResponseData?: Steered }) => {
    state.servers = e.currentSteeringResponseData?.pathwayPriority?.length ?? state.servers;
    if (state.servers > 1) leaveTheDead(player);
  });
  player.on(events.TEXT_TRACKS_ADDED, (e: { tracks: readonly MediaInfo[] }) => {
    state.words = e.tracks.map(track);
    listener.changed();
  });
  player.on(events.FRAGMENT_LOADING_COMPLETED, (e: { request: Fragment; response?: ArrayBuffer }) => {
    const { request, response } = e;
    if (response) state.failures = 0;
    // dash.js shows the words of a file when it next hears of the time: not while paused.
    if (request.mediaType === 'text') setTimeout(() => video.dispatchEvent(new Event('timeupdate')));
    if (request.mediaType !== 'video' || request.type !== 'MediaSegment' || !response) return;
    listener.segment(request.startTime, request.duration, response.byteLength);
    arrived(player, state, request, video.currentTime);
  });
  player.on(events.BUFFER_LEVEL_UPDATED, (e: { mediaType: string; bufferLevel: number }) => {
    if (e.mediaType !== 'video' || !state.loaded || e.bufferLevel <= 0) return;
    // dash.js tells what is rendered only while it plays.
    state.shown = state.replacing;
    state.replacing = undefined;
    state.loaded = false;
    redraw(video);
    listener.changed();
  });
  player.on(events.ERROR, (e: { error: unknown }) => {
    const found = fault(e.error);
    // Of several servers the next one is tried, for the sound and for the pictures.
    if (found?.kind === 'network' && state.servers > 1 && ++state.failures < 2 * state.servers) return;
    if (found) listener.failed(found);
  });
  player.on(events.PLAYBACK_ERROR, () => {
    listener.failed({ kind: 'decode', detail: `dash.js ${video.error?.message || `media error ${video.error?.code ?? ''}`}` });
  });
}

interface Steered {
  readonly pathwayPriority?: readonly string[];
}

/**
 * leaveTheDead goes to another server when one does not come to the end of an answer, where
 * several are known. dash.js would wait twenty seconds, and ask the same one three times
 * more. Who sends nothing is left sooner, see leaveTheSilent.
 */
function leaveTheDead(player: MediaPlayerClass): void {
  const once = { MediaSegment: 0, InitializationSegment: 0, MPD: 0 };
  player.updateSettings({ streaming: { fragmentRequestTimeout: 4000, manifestRequestTimeout: 2000, retryAttempts: once } });
}

/** arrived goes on with what the viewer chose when a segment shows how far dash.js is. */
function arrived(player: MediaPlayerClass, state: State, request: Fragment, now: number): void {
  const { startTime, duration, representation } = request;
  const pending = state.pending;
  if (pending && representation?.mediaInfo?.index === pending.track.index) {
    state.pending = undefined;
    if (representation.id === pending.id) state.replacing = pending.id;
    else replace(player, state, pending.id);
  }
  const here = startTime <= now && now < startTime + duration;
  if (here && state.replacing !== undefined && representation?.id === state.replacing) state.loaded = true;
}

interface Fragment {
  readonly mediaType: string;
  readonly type: string | null;
  readonly representation?: Representation;
  readonly startTime: number;
  readonly duration: number;
}

/** rungs lists all tracks' rungs; the exact codec is known for the track that plays, else one of the track's. */
function rungs(player: MediaPlayerClass): Rung[] {
  const known = new Map(player.getRepresentationsByTypeUnfiltered('video').map((r) => [r.id, r]));
  return player.getTracksFor('video').flatMap((mediaInfo) =>
    mediaInfo.bitrateList.map((b) => {
      const representation = known.get(b.id ?? '');
      return {
        track: mediaInfo,
        id: b.id ?? '',
        width: b.width ?? 0,
        height: b.height ?? 0,
        codec: representation?.codecs ?? /codecs="([^"]*)"/.exec(mediaInfo.codec ?? '')?.[1] ?? '',
        bitrate: b.bandwidth ?? 0,
        ...(representation?.frameRate && { frameRate: representation.frameRate }),
      };
    }),
  );
}

function choose(player: MediaPlayerClass, state: State, i: number): void {
  const rung = state.rungs[i];
  state.chosen = rung ? i : -1;
  state.pending = undefined;
  player.updateSettings({ streaming: { abr: { autoSwitchBitrate: { video: !rung } } } });
  if (!rung) return;
  if (rung.track.index === player.getCurrentTrackFor('video')?.index) {
    replace(player, state, rung.id);
    return;
  }
  state.pending = rung;
  player.setCurrentTrack(rung.track);
}

function replace(player: MediaPlayerClass, state: State, id: string): void {
  state.replacing = id === state.shown ? undefined : id;
  state.loaded = false;
  player.setRepresentationForTypeById('video', id, true);
}

function track(mediaInfo: MediaInfo): Track {
  const channels = mediaInfo.audioChannelConfiguration?.[0]?.value;
  return {
    label: mediaInfo.labels?.[0]?.text ?? '',
    language: mediaInfo.lang ?? '',
    ...(channels !== undefined && channels !== null && { channels: String(channels) }),
  };
}

/** fault explains an error of dash.js; undefined where playback goes on without what failed. */
function fault(error: unknown): Fault | undefined {
  if (typeof error !== 'object' || error === null) return { kind: 'unknown', detail: `dash.js ${String(error)}` };
  const { code, message, data } = error as { code?: number; message?: string; data?: Download | null };
  if (data?.request?.mediaType === 'text' || code === MediaPlayer.errors.TIMED_TEXT_ERROR_ID_PARSE_CODE) return undefined;
  const status = data?.response?.status;
  return { kind: faultKind(code, status), detail: `dash.js error ${code ?? ''}: ${message ?? ''} ${data?.request?.url ?? ''}`.trim() };
}

function faultKind(code: number | undefined, status: number | undefined): FaultKind {
  const errors = MediaPlayer.errors;
  switch (code) {
    case errors.DOWNLOAD_ERROR_ID_MANIFEST_CODE:
    case errors.DOWNLOAD_ERROR_ID_CONTENT_CODE:
    case errors.DOWNLOAD_ERROR_ID_INITIALIZATION_CODE:
    case errors.FRAGMENT_LOADER_LOADING_FAILURE_ERROR_CODE:
    case errors.MANIFEST_LOADER_LOADING_FAILURE_ERROR_CODE:
      return status === 404 ? 'missing' : 'network';
    case errors.MANIFEST_LOADER_PARSING_FAILURE_ERROR_CODE:
    case errors.MANIFEST_ERROR_ID_PARSE_CODE:
      return 'manifest';
    case errors.MANIFEST_ERROR_ID_NOSTREAMS_CODE:
    case errors.MEDIASOURCE_TYPE_UNSUPPORTED_CODE:
      return 'codec';
    case errors.APPEND_ERROR_CODE:
      return 'decode';
    case errors.CAPABILITY_MEDIASOURCE_ERROR_CODE:
      return 'unsupported';
  }
  return 'unknown';
}
