import Hls, { ErrorDetails, ErrorTypes, Events, type ErrorData, type HlsConfig, type Level, type LoadPolicy, type MediaPlaylist } from 'hls.js';
import workerURL from 'hls.js/dist/hls.worker.js?url';
import { redraw, type Engine, type Fault, type FaultKind, type Listener, type Live, type Source, type Track } from './engine';

/** openHLS plays a multivariant playlist with hls.js over Media Source Extensions. */
export function openHLS(video: HTMLVideoElement, source: Source, at: number, listener: Listener): Engine {
  const hls = new Hls({
    startPosition: at,
    workerPath: workerURL,
    maxBufferLength: 30,
    backBufferLength: 30,
    capLevelToPlayerSize: false,
    ...(source.live && forLive()),
  });
  const changed = () => listener.changed();
  hls.on(Events.MANIFEST_PARSED, () => {
    hls.subtitleTrack = -1;
    changed();
  });
  hls.on(Events.LEVEL_SWITCHED, changed);
  hls.on(Events.LEVELS_UPDATED, changed);
  hls.on(Events.LEVEL_UPDATED, () => listener.advanced());
  hls.on(Events.AUDIO_TRACKS_UPDATED, changed);
  hls.on(Events.AUDIO_TRACK_SWITCHED, changed);
  hls.on(Events.SUBTITLE_TRACKS_UPDATED, changed);
  hls.on(Events.SUBTITLE_TRACK_SWITCH, changed);
  hls.on(Events.FRAG_LOADED, (_, { frag }) => {
    if (frag.type !== 'main' || frag.sn === 'initSegment') return;
    listener.segment(frag.start, frag.duration, frag.stats.total || frag.stats.loaded);
  });
  let replacing = -1; // the level that takes the place of what is buffered
  hls.on(Events.FRAG_BUFFERED, (_, { frag }) => {
    const here = frag.start <= video.currentTime && video.currentTime < frag.end;
    if (frag.type !== 'main' || frag.sn === 'initSegment' || frag.level !== replacing || !here) return;
    replacing = -1;
    redraw(video);
  });
  const closing = new AbortController();
  leaveTheDead(hls, source);
  if (source.live) beginWithPictures(hls, video, closing.signal);
  listenForErrors(hls, video, closing.signal, listener);
  leaveGaps(hls, video, closing.signal, changed);
  hls.loadSource(source.hls);
  hls.attachMedia(video);

  return {
    kind: 'hls',
    levels: () =>
      rungs(hls).map(([l]) => ({
        width: l!.width,
        height: l!.height,
        codec: l!.videoCodec ?? l!.audioCodec ?? '',
        bitrate: l!.maxBitrate,
        ...(l!.frameRate > 0 && { frameRate: l!.frameRate }),
      })),
    playing: () => rungOf(hls, hls.currentLevel),
    chosen: () => (hls.autoLevelEnabled ? -1 : rungOf(hls, hls.manualLevel)),
    choose: (rung) => {
      // The viewer sees what was asked for at once, on a paused picture too.
      const level = rung < 0 ? -1 : levelOf(hls, rung);
      if (level < 0) hls.nextLevel = level;
      else if (level !== hls.currentLevel || hls.autoLevelEnabled) hls.currentLevel = replacing = level;
      changed();
    },
    audio: () => hls.allAudioTracks.map(track),
    audioChosen: () => hls.allAudioTracks.findIndex((t) => t === hls.audioTracks[hls.audioTrack]),
    chooseAudio: (i) => {
      // Another layout of channels is in another group; hls.js goes to a level of it.
      hls.setAudioOption(hls.allAudioTracks[i]);
    },
    text: () => hls.subtitleTracks.map(track),
    textChosen: () => hls.subtitleTrack,
    chooseText: (i) => {
      hls.subtitleDisplay = true;
      hls.subtitleTrack = i;
    },
    live: () => liveOf(hls),
    bandwidth: () => hls.bandwidthEstimate || undefined,
    destroy: () => {
      closing.abort();
      hls.destroy();
    },
  };
}

/**
 * forLive is how a stream is played that goes on: near its end, a little faster
 * where that was lost, and with patience. An encoder that is away for half a
 * minute, or a server that starts anew, ends nothing.
 */
function forLive(): Partial<HlsConfig> {
  const patient = { maxNumRetry: 30, retryDelayMs: 500, maxRetryDelayMs: 2000 };
  const { playlistLoadPolicy, fragLoadPolicy } = Hls.DefaultConfig;
  const of = ({ default: usual }: LoadPolicy): LoadPolicy => ({ default: { ...usual, timeoutRetry: patient, errorRetry: patient } });
  return {
    lowLatencyMode: true,
    maxLiveSyncPlaybackRate: 1.08,
    backBufferLength: 60,
    playlistLoadPolicy: of(playlistLoadPolicy),
    fragLoadPolicy: of(fragLoadPolicy),
  };
}

/** patience is how long a server that is one of several may be silent, in milliseconds. */
const patience = 1500;

/**
 * leaveTheDead goes to another server at once when one does not answer, where the
 * playlist is steered and others are known. hls.js would wait ten seconds for each
 * answer, and try each level of the ladder on the same server first.
 */
function leaveTheDead(hls: Hls, source: Source): void {
  let hurried = false;
  hls.on(Events.STEERING_MANIFEST_LOADED, (_, { steeringManifest }) => {
    if (hurried || steeringManifest['PATHWAY-PRIORITY'].length < 2) return;
    hurried = true;
    // A playlist of low latency waits for its next part, which may be longer.
    const { fragLoadPolicy, playlistLoadPolicy } = hls.config;
    hls.config.fragLoadPolicy = impatient(fragLoadPolicy);
    if (!source.live) hls.config.playlistLoadPolicy = impatient(playlistLoadPolicy);
  });
  hls.on(Events.ERROR, (_, data) => {
    const order = hls.pathwayPriority;
    const url = data.frag?.url ?? data.url ?? data.context?.url;
    const status = data.response?.code ?? 0;
    // A seek aborts what is on its way, and hls.js calls that an error of the network.
    if (data.details === ErrorDetails.INTERNAL_ABORTED || data.fatal || data.type !== ErrorTypes.NETWORK_ERROR || (status >= 400 && status < 500) || !order || !url) return;
    const now = hls.levels[hls.loadLevel];
    // What was still asked of the server that has been left says nothing of the next.
    if (!now || new URL(now.uri).host !== new URL(url).host) return;
    const others = order.filter((id) => id !== now.pathwayId);
    if (others.length > 0) hls.pathwayPriority = [...others, now.pathwayId];
  });
}

/** impatient asks the same server again only where the next one was silent too. */
function impatient({ default: usual }: LoadPolicy): LoadPolicy {
  const timeoutRetry = usual.timeoutRetry && {
    ...usual.timeoutRetry,
    shouldRetry: (_: unknown, count: number, _timeout: boolean, _response: unknown, retry: boolean) => retry && count > 0,
  };
  return { default: { ...usual, maxTimeToFirstByteMs: patience, timeoutRetry } };
}

/** reading is how long a part may still be read that has come, in milliseconds. */
const reading = 200;

/**
 * leaveGaps has a rendition left that is not made for a while, whoever chose it. hls.js
 * turns to another one, but where the part before the gap is still being read then, it
 * waits for the end of that for good, so it is told to load anew.
 */
function leaveGaps(hls: Hls, video: HTMLVideoElement, closing: AbortSignal, changed: () => void): void {
  let leaving = false;
  hls.on(Events.ERROR, (_, data) => {
    if (data.details !== ErrorDetails.FRAG_GAP || leaving) return;
    leaving = true;
    setTimeout(() => {
      leaving = false;
      if (closing.aborted) return;
      hls.stopLoad();
      hls.startLoad(video.currentTime);
      changed();
    }, reading);
  });
}

/** slack is how far the times of a playlist may be from those of the media, in seconds. */
const slack = 0.1;

/**
 * beginWithPictures has a seek end. A segment of a live stream may begin without a key
 * frame: who goes to its beginning, and is paused, would wait for a picture that
 * nothing can show. The first one that can be shown is gone to.
 */
function beginWithPictures(hls: Hls, video: HTMLVideoElement, closing: AbortSignal): void {
  let asked = NaN; // the moment whose segment, or part, has come
  // Where it was there before the seek, nothing comes.
  const near = () => {
    const { buffered, currentTime: moment } = video;
    for (let i = 0; i < buffered.length; i++) {
      if (buffered.end(i) <= moment) continue;
      const first = buffered.start(i);
      if (first > moment && first - moment <= slack) video.currentTime = first;
      return;
    }
  };
  video.addEventListener('seeking', near, { signal: closing });
  hls.on(Events.BUFFER_APPENDED, (_, { frag, part, type, timeRanges }) => {
    if (!video.seeking || frag.type !== 'main' || type === 'audio') return;
    const moment = video.currentTime;
    const piece = part ?? frag;
    if (piece.start <= moment && moment < piece.end) asked = moment;
    const shown = timeRanges[type];
    if (asked !== moment || !shown) return;
    for (let i = 0; i < shown.length; i++) {
      if (shown.end(i) <= moment) continue;
      const first = shown.start(i);
      if (first > moment && piece.start - slack <= first && first < piece.end) video.currentTime = first;
      return;
    }
  });
}

function liveOf(hls: Hls): Live | undefined {
  const details = hls.latestLevelDetails;
  if (!details?.live || hls.liveSyncPosition === null) return undefined;
  return { start: details.fragmentStart, edge: hls.liveSyncPosition, latency: hls.latency };
}

/**
 * rungs groups the levels by their picture: hls.js has one level for each group of
 * sound that a picture may be played with, and viewers choose the two apart.
 */
function rungs(hls: Hls): Level[][] {
  const byPicture = new Map<string, Level[]>();
  for (const level of hls.levels) {
    const same = byPicture.get(level.uri);
    if (same) same.push(level);
    else byPicture.set(level.uri, [level]);
  }
  return [...byPicture.values()];
}

function rungOf(hls: Hls, index: number): number {
  const level = hls.levels[index];
  return level ? rungs(hls).findIndex((levels) => levels.includes(level)) : -1;
}

/** levelOf is the level of a rung that keeps the sound that plays. */
function levelOf(hls: Hls, rung: number): number {
  const levels = rungs(hls)[rung] ?? [];
  const group = hls.audioTracks[hls.audioTrack]?.groupId;
  return hls.levels.indexOf(levels.find((l) => group !== undefined && l.audioGroups?.includes(group)) ?? levels[0]!);
}

function track(playlist: MediaPlaylist): Track {
  return {
    label: playlist.name,
    language: playlist.lang ?? '',
    ...(playlist.channels !== undefined && { channels: playlist.channels }),
  };
}

/** listenForErrors lets hls.js recover from one decoding error, and reports what stops it. */
function listenForErrors(hls: Hls, video: HTMLVideoElement, signal: AbortSignal, listener: Listener): void {
  let recovered = false;
  const recoverOrFail = (found: Fault) => {
    if (found.kind === 'decode' && !recovered) {
      recovered = true;
      hls.recoverMediaError();
      return;
    }
    hls.stopLoad();
    listener.failed(found);
  };
  hls.on(Events.ERROR, (_, data) => {
    if (data.fatal) recoverOrFail(fault(data));
  });
  const mediaFailed = () => recoverOrFail({ kind: 'decode', detail: `hls.js ${video.error?.message ?? 'media error'}` });
  video.addEventListener('error', mediaFailed, { signal });
}

function fault(data: ErrorData): Fault {
  const where = data.frag?.url ?? data.url ?? data.context?.url ?? '';
  const status = data.response?.code ? ` (HTTP ${data.response.code})` : '';
  return { kind: faultKind(data), detail: `hls.js ${data.details}${status} ${where}`.trim() };
}

function faultKind(data: ErrorData): FaultKind {
  switch (data.details) {
    case ErrorDetails.MANIFEST_INCOMPATIBLE_CODECS_ERROR:
    case ErrorDetails.BUFFER_ADD_CODEC_ERROR:
    case ErrorDetails.BUFFER_INCOMPATIBLE_CODECS_ERROR:
      return 'codec';
    case ErrorDetails.MANIFEST_PARSING_ERROR:
    case ErrorDetails.LEVEL_PARSING_ERROR:
    case ErrorDetails.LEVEL_EMPTY_ERROR:
      return 'manifest';
  }
  if (data.type === ErrorTypes.NETWORK_ERROR) return data.response?.code === 404 ? 'missing' : 'network';
  return data.type === ErrorTypes.MEDIA_ERROR || data.type === ErrorTypes.MUX_ERROR ? 'decode' : 'unknown';
}
