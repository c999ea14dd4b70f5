import { mount } from 'svelte';
import App from './App.svelte';
import type { EngineKind, Level } from './engine/engine';
import { Session, type Stats } from './lib/session.svelte';
import './theme.css';

/** The hook for browser tests: stable, and nothing of the page depends on it. */
export interface TestHook {
  readonly video: HTMLVideoElement;
  readonly engine: EngineKind;
  setEngine(kind: EngineKind): Promise<void>;
  levels(): readonly Level[];
  /** -1 is automatic */
  setLevel(level: number): void;
  stats(): Stats;
}

declare global {
  interface Window {
    liuyunPlayer: TestHook;
  }
}

const media = new URL('media/', document.baseURI).href;
const video = document.createElement('video');
video.playsInline = true;
video.preload = 'auto';
video.poster = `${media}poster.jpg`;

const wanted = new URLSearchParams(location.search).get('engine');
const kinds: readonly EngineKind[] = ['hls', 'dash', 'native'];
const session = new Session(
  video,
  { hls: `${media}master.m3u8`, dash: `${media}manifest.mpd` },
  kinds.find((kind) => kind === wanted),
);

window.liuyunPlayer = {
  video,
  get engine() {
    return session.engineKind;
  },
  setEngine: (kind) => session.setEngine(kind),
  levels: () => session.levels,
  setLevel: (level) => session.setLevel(level),
  stats: () => session.stats(),
};

mount(App, { target: document.getElementById('app')!, props: { session, media } });
