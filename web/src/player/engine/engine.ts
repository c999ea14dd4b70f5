// An engine turns a manifest into playback on a video element. The page knows
// only this interface; hls.js, dash.js, WebRTC and the browser's own HLS are behind it.

export type EngineKind = 'hls' | 'dash' | 'native' | 'whep';

/** Level is one rung of the ladder; bitrate is what the manifest declares, bits a second. */
export interface Level {
  readonly width: number;
  readonly height: number;
  readonly codec: string;
  readonly bitrate: number;
  readonly frameRate?: number;
}

export interface Track {
  readonly label: string;
  readonly language: string;
  readonly channels?: string;
}

export type FaultKind = 'missing' | 'network' | 'manifest' | 'codec' | 'decode' | 'unsupported' | 'unknown';

/** Fault ends playback until the viewer acts; detail is for people who file bugs. */
export interface Fault {
  readonly kind: FaultKind;
  readonly detail: string;
}

/** Live is where a stream that goes on is, in seconds on its timeline. */
export interface Live {
  /** the oldest that there still is */
  readonly start: number;
  /** where who watches it as it happens is */
  readonly edge: number;
  /** how far what is on screen is behind what the server has */
  readonly latency: number;
}

/** What an engine tells the page. */
export interface Listener {
  /** levels, tracks or choices are not what they were */
  changed(): void;
  /** a stream has gone on, or has ended */
  advanced(): void;
  failed(fault: Fault): void;
  /** a video segment arrived: seconds on the timeline, and bytes */
  segment(start: number, duration: number, bytes: number): void;
}

export interface Source {
  readonly hls: string;
  /** empty where there is none */
  readonly dash: string;
  /** where a stream is had by WebRTC; absent or empty for nowhere */
  readonly whep?: string;
  /** it is a stream that goes on: what does not come now may come in a moment */
  readonly live?: boolean;
}

export interface Engine {
  readonly kind: EngineKind;
  levels(): readonly Level[];
  /** index of the level on screen, or -1 */
  playing(): number;
  /** index of the level that the viewer asked for, or -1 for automatic */
  chosen(): number;
  choose(level: number): void;
  audio(): readonly Track[];
  audioChosen(): number;
  chooseAudio(track: number): void;
  text(): readonly Track[];
  textChosen(): number;
  /** -1 turns subtitles off */
  chooseText(track: number): void;
  /** undefined for what is whole */
  live?(): Live | undefined;
  /** estimated bits a second of the connection */
  bandwidth(): number | undefined;
  destroy(): void;
}

/** open starts an engine on video at a time; it loads the engine's code when first asked. */
export async function open(kind: EngineKind, video: HTMLVideoElement, source: Source, at: number, listener: Listener): Promise<Engine> {
  switch (kind) {
    case 'hls':
      return (await import('./hls')).openHLS(video, source, at, listener);
    case 'dash':
      return (await import('./dash')).openDASH(video, source, at, listener);
    case 'native':
      return (await import('./native')).openNative(video, source.hls, at, listener);
    case 'whep':
      return (await import('./whep')).openWHEP(video, source.whep ?? '', listener);
  }
}

/** available lists what this browser can play with, the preferred one first. */
export function available(video: HTMLVideoElement): EngineKind[] {
  const kinds: EngineKind[] = [];
  const mse = 'MediaSource' in window || 'ManagedMediaSource' in window;
  // Chromium answers "maybe" for HLS too, but its own player shows no ladder.
  const apple = navigator.vendor.startsWith('Apple');
  if (apple && video.canPlayType('application/vnd.apple.mpegurl') !== '') kinds.push('native');
  else if (mse) kinds.push('hls');
  if (mse) kinds.push('dash');
  return kinds;
}

/**
 * redraw seeks to where the viewer already is. After the buffer under the play
 * head was replaced, a decoder waits for the next key frame; a seek makes it
 * start at the new one, and shows the new picture while paused.
 */
export function redraw(video: HTMLVideoElement): void {
  video.currentTime = Math.max(0, video.currentTime - 0.001);
}
