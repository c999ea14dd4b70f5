import { available, open, type Engine, type EngineKind, type Fault, type Level, type Live, type Source, type Track } from '../engine/engine';
import { SegmentLog } from './segments';
import { loadSettings, saveSettings } from './settings';
import { clamp } from './time';

export interface Range {
  readonly start: number;
  readonly end: number;
}

/** Stats is one look at playback; bit rates in bits a second, buffer in seconds. */
export interface Stats {
  engine: EngineKind;
  time: number;
  width: number;
  height: number;
  level: number;
  codec: string;
  declared: number | undefined;
  measured: number | undefined;
  buffer: number;
  dropped: number;
  frames: number;
  bandwidth: number | undefined;
}

/** How far behind the live edge somebody is who does not watch as it happens, in seconds. */
const behindFrom = 4;

/**
 * Who starts over begins with the first picture there is, from which all that follow can
 * be shown. Of so many seconds the first may soon be gone: then so much later.
 */
const long = { from: 120, later: 6 };

/**
 * A moment within the first segment of a stream, in seconds: its sound may begin a little
 * later than its pictures, and hls.js takes what is before that for no place to begin at.
 */
const within = 0.5;

/**
 * How far behind who watches as it happens may fall, in seconds, before they are brought
 * back to it, and how long that is given before it is tried again.
 */
const fallen = { behind: 10, again: 10_000 };

/**
 * How long a film whose server has gone is asked for again, in milliseconds, and how often:
 * its address may lead to another server, once it is known that this one is no more.
 */
const lost = { patience: 20_000, again: 1000 };

export const speeds = [0.5, 0.75, 1, 1.25, 1.5, 2] as const;

/**
 * Session is the playback that the page shows: one video element, the engine
 * that feeds it, and their state as reactive fields. Controls read the fields
 * and call the methods; nothing else touches the element.
 */
export class Session {
  engineKind = $state<EngineKind>('hls');
  engines = $state.raw<readonly EngineKind[]>([]);
  fault = $state.raw<Fault | undefined>();
  ready = $state(false);
  paused = $state(true);
  ended = $state(false);
  waiting = $state(false);
  audioOnly = $state(false);
  aspect = $state(16 / 9);
  time = $state(0);
  duration = $state(NaN);
  /** undefined unless it goes on while it plays */
  live = $state.raw<Live | undefined>();
  buffered = $state.raw<readonly Range[]>([]);
  volume = $state(1);
  muted = $state(false);
  speed = $state(1);
  levels = $state.raw<readonly Level[]>([]);
  playing = $state(-1);
  chosen = $state(-1);
  audio = $state.raw<readonly Track[]>([]);
  audioChosen = $state(-1);
  text = $state.raw<readonly Track[]>([]);
  textChosen = $state(-1);
  /** it may be watched by WebRTC */
  realTime = $state(false);
  /** why real time ended against the viewer's will; '' while it did not */
  realTimeLost = $state('');

  private engine: Engine | undefined;
  private segments = new SegmentLog();
  private opening = 0;
  private lastText = 0;
  /** a fault stopped it while it played */
  private interrupted = false;
  private follows = true; // the viewer wants what happens now, where it is live
  private caughtUp = -fallen.again;
  private startedOver = false;
  /** where the film was, and when, as its server went; undefined while it plays */
  private lost: { readonly at: number; readonly since: number } | undefined;

  constructor(
    readonly video: HTMLVideoElement,
    private readonly source: Source,
    wanted: EngineKind | undefined,
    /** of what is live: begin with the oldest moment, not the newest */
    private readonly over = false,
  ) {
    const settings = loadSettings();
    video.volume = settings.volume ?? 1;
    video.muted = settings.muted ?? false;
    this.engines = available(video).filter((kind) => kind !== 'dash' || source.dash !== '');
    const first = this.engines.find((kind) => kind === wanted) ?? this.engines[0];
    this.follow();
    if (first) void this.setEngine(first);
    else this.fault = { kind: 'unsupported', detail: navigator.userAgent };
  }

  /** setEngine plays on with another engine, or with the same one anew, from where the viewer is. */
  async setEngine(kind: EngineKind): Promise<void> {
    // By WebRTC time begins with the connection, and who comes to a stream has none yet.
    const fresh = this.engineKind === 'whep' || (this.source.live && this.video.currentTime === 0);
    const at = !fresh ? (this.lost?.at ?? this.video.currentTime) : this.over ? within : -1;
    const resume = this.interrupted || (!this.video.paused && !this.video.ended);
    this.interrupted = resume; // until it plays: the engine that goes has the element pause
    const turn = ++this.opening;
    this.engine?.destroy();
    this.engine = undefined;
    this.segments = new SegmentLog();
    this.fault = undefined;
    this.ready = false;
    this.engineKind = kind;
    this.refresh();
    try {
      const engine = await open(kind, this.video, this.source, at, {
        changed: () => turn === this.opening && this.refresh(),
        advanced: () => turn === this.opening && this.followLive(),
        failed: (fault) => turn === this.opening && this.fail(fault),
        segment: (start, duration, bytes) => this.segments.add(start, duration, bytes),
      });
      if (turn !== this.opening) {
        engine.destroy();
        return;
      }
      this.engine = engine;
      this.interrupted = false;
      this.refresh();
      if (resume) this.play();
    } catch (error) {
      const kind = error instanceof Error && 'kind' in error ? (error.kind as Fault['kind']) : 'unknown';
      if (turn === this.opening) this.fail({ kind, detail: String(error) });
    }
  }

  /** setRealTime watches by WebRTC, or as others do. */
  setRealTime(on: boolean): void {
    const other = this.engines[0];
    if (on === (this.engineKind === 'whep') || (!on && !other)) return;
    this.realTimeLost = '';
    void this.setEngine(on ? 'whep' : other!);
  }

  retry(): void {
    void this.setEngine(this.engineKind);
  }

  setLevel(level: number): void {
    this.engine?.choose(level);
    this.refresh();
  }

  setAudio(track: number): void {
    this.engine?.chooseAudio(track);
    this.refresh();
  }

  setText(track: number): void {
    if (track >= 0) this.lastText = track;
    this.engine?.chooseText(track);
    this.refresh();
  }

  toggleText(): void {
    if (this.text.length > 0) this.setText(this.textChosen >= 0 ? -1 : Math.min(this.lastText, this.text.length - 1));
  }

  /** what can be gone to, in seconds on the timeline */
  get span(): Range {
    if (this.live) return { start: this.live.start, end: Math.max(this.live.start, this.live.edge) };
    return { start: 0, end: Number.isFinite(this.duration) ? this.duration : 0 };
  }

  /** seconds behind who watches as it happens; 0 for who does */
  get behind(): number {
    // At 0 the engine has not gone to the stream yet, whose times are those of the day.
    const behind = this.live && this.time > 0 ? this.live.edge - this.time : 0;
    return behind > behindFrom ? behind : 0;
  }

  toLive(): void {
    this.seek(this.span.end);
  }

  /** begin plays without being asked to, and without sound where the browser allows nothing else. */
  begin(): void {
    this.video.play().catch((error: unknown) => {
      if (!(error instanceof DOMException) || error.name !== 'NotAllowedError') return;
      this.video.muted = true;
      this.play();
    });
  }

  play(): void {
    // Who begins late wants what happens now, not what happened when the page was opened.
    if (this.live && !this.over && this.video.played.length === 0 && this.behind > 0) this.toLive();
    // Refused where the browser wants a gesture first: the play button stays.
    this.video.play().catch(() => undefined);
  }

  toggle(): void {
    if (this.fault) return;
    if (this.video.paused) this.play();
    else {
      this.follows = false; // who stops it wants to see what comes next, later
      this.video.pause();
    }
  }

  seek(time: number): void {
    const { start, end } = this.span;
    this.follows = !this.live || time > this.live.edge - behindFrom;
    if (end > start) this.video.currentTime = this.time = clamp(time, start, end);
  }

  /** step moves by whole frames, as near as the element allows. */
  step(frames: number): void {
    this.video.pause();
    const rate = this.levels[this.playing]?.frameRate ?? 25;
    this.seek(this.video.currentTime + frames / rate);
  }

  setVolume(volume: number): void {
    this.video.volume = clamp(volume, 0, 1);
    this.video.muted = volume <= 0;
    saveSettings({ volume: this.video.volume, muted: this.video.muted });
  }

  toggleMute(): void {
    this.video.muted = !this.video.muted;
    if (!this.video.muted && this.video.volume === 0) this.video.volume = 0.5;
    saveSettings({ volume: this.video.volume, muted: this.video.muted });
  }

  setSpeed(speed: number): void {
    if (this.live) return; // the engine keeps the distance to the live edge by it
    // An engine that starts anew falls back to the default rate.
    this.video.defaultPlaybackRate = speed;
    this.video.playbackRate = speed;
  }

  /** shiftSpeed goes to the next speed of the list, up (1) or down (-1). */
  shiftSpeed(direction: 1 | -1): void {
    const at = speeds.findIndex((s) => s >= this.speed);
    this.setSpeed(speeds[clamp((at < 0 ? speeds.length - 1 : at) + direction, 0, speeds.length - 1)]!);
  }

  stats(): Stats {
    const quality = this.video.getVideoPlaybackQuality();
    const time = this.video.currentTime;
    const level = this.levels[this.playing];
    return {
      engine: this.engineKind,
      time,
      width: this.video.videoWidth,
      height: this.video.videoHeight,
      level: this.playing,
      codec: level?.codec ?? '',
      declared: level?.bitrate,
      measured: this.segments.bitrateAt(time),
      buffer: bufferAhead(ranges(this.video.buffered), time),
      dropped: quality.droppedVideoFrames,
      frames: quality.totalVideoFrames,
      bandwidth: this.engine?.bandwidth(),
    };
  }

  destroy(): void {
    this.opening++;
    this.engine?.destroy();
  }

  private fail(fault: Fault): void {
    this.interrupted ||= !this.video.paused;
    // What cannot be had in real time, or no longer, is had a little later.
    const other = this.engines[0];
    if (this.engineKind === 'whep' && other) {
      this.realTimeLost = fault.detail;
      void this.setEngine(other);
      return;
    }
    if (this.askAgain(fault)) return;
    this.video.pause();
    this.waiting = false;
    this.fault = fault;
  }

  /** askAgain opens a film anew that played until its server went; a stream is looked after by its page. */
  private askAgain(fault: Fault): boolean {
    if (fault.kind !== 'network' || this.source.live || (!this.lost && this.video.played.length === 0)) return false;
    const now = performance.now();
    const first = this.lost === undefined;
    this.lost ??= { at: this.video.currentTime, since: now };
    if (now - this.lost.since > lost.patience) return false;
    const turn = this.opening;
    this.waiting = true;
    setTimeout(() => turn === this.opening && void this.setEngine(this.engineKind), first ? 0 : lost.again);
    return true;
  }

  /** followLive learns where a stream is, and keeps the viewer where they want to be. */
  private followLive(): void {
    this.live = this.engine?.live?.();
    this.catchUp();
    if (!this.over || this.startedOver || !this.ready || !this.live || this.video.seeking) return;
    // Some engines begin there by themselves, others are told until they stay there.
    const { start, edge } = this.live;
    const at = this.video.currentTime;
    this.startedOver = this.video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA && at - start < edge - at;
    if (!this.startedOver && at > start + 1) this.seek(start);
    if (this.startedOver && edge - start > long.from) this.seek(start + long.later);
  }

  /** catchUp brings back to what happens now who has fallen behind without wanting to. */
  private catchUp(): void {
    const { paused, seeking, currentTime, playbackRate } = this.video;
    if (!this.live || this.over || !this.follows || paused || seeking) return;
    if (playbackRate < 1 || this.live.edge - currentTime < fallen.behind) return; // slowly is how they want it
    const now = performance.now();
    if (now - this.caughtUp < fallen.again) return;
    this.caughtUp = now;
    this.toLive();
  }

  /** refresh copies the engine's state into the reactive fields. */
  private refresh(): void {
    const engine = this.engine;
    this.levels = engine?.levels() ?? [];
    this.playing = engine?.playing() ?? -1;
    this.chosen = engine?.chosen() ?? -1;
    this.audio = engine?.audio() ?? [];
    this.audioChosen = engine?.audioChosen() ?? -1;
    this.text = engine?.text() ?? [];
    this.textChosen = engine?.textChosen() ?? -1;
    this.followLive();
  }

  /** follow mirrors the element's events; the element lives as long as the session. */
  private follow(): void {
    const v = this.video;
    const on = (names: string, update: () => void) => {
      for (const name of names.split(' ')) v.addEventListener(name, update);
    };
    on('play pause ended playing seeking emptied', () => {
      this.paused = v.paused;
      this.ended = v.ended;
    });
    on('playing', () => (this.lost = undefined));
    on('waiting', () => (this.waiting = true));
    on('playing canplay seeked pause emptied', () => (this.waiting = false));
    on('timeupdate seeking loadedmetadata', () => {
      this.time = v.currentTime;
      this.followLive();
    });
    on('durationchange loadedmetadata', () => (this.duration = v.duration));
    on('progress timeupdate seeked emptied', () => (this.buffered = ranges(v.buffered)));
    on('ratechange', () => (this.speed = v.playbackRate));
    on('volumechange', () => this.readVolume());
    on('loadedmetadata resize', () => this.readPicture());
    this.readVolume();
  }

  private readVolume(): void {
    this.volume = this.video.volume;
    this.muted = this.video.muted;
  }

  private readPicture(): void {
    const { videoWidth, videoHeight } = this.video;
    this.ready = true;
    this.audioOnly = videoWidth === 0;
    if (videoWidth > 0 && videoHeight > 0) this.aspect = videoWidth / videoHeight;
  }
}

function ranges(time: TimeRanges): Range[] {
  return Array.from({ length: time.length }, (_, i) => ({ start: time.start(i), end: time.end(i) }));
}

/** bufferAhead is how many seconds can play on from a time without a download. */
export function bufferAhead(buffered: readonly Range[], time: number): number {
  const here = buffered.find((r) => r.start <= time + 0.1 && time < r.end);
  return here ? here.end - time : 0;
}
