import type { Engine, Fault, Listener, Track } from './engine';

interface AudioTrackLike {
  enabled: boolean;
  readonly label: string;
  readonly language: string;
}

/** openNative lets the browser play the multivariant playlist itself: Safari does. */
export function openNative(video: HTMLVideoElement, url: string, at: number, listener: Listener): Engine {
  const closing = new AbortController();
  const signal = closing.signal;
  video.addEventListener('error', () => listener.failed(fault(video.error)), { signal });
  video.addEventListener(
    'loadedmetadata',
    () => {
      if (at > 0) video.currentTime = at;
      listener.changed();
    },
    { signal },
  );
  video.textTracks.addEventListener('addtrack', () => listener.changed(), { signal });
  video.textTracks.addEventListener('change', () => listener.changed(), { signal });
  video.src = url;

  const sound = (): AudioTrackLike[] => Array.from((video as { audioTracks?: ArrayLike<AudioTrackLike> }).audioTracks ?? []);
  const words = () => Array.from(video.textTracks).filter((t) => t.kind === 'subtitles' || t.kind === 'captions');
  return {
    kind: 'native',
    levels: () => [],
    playing: () => -1,
    chosen: () => -1,
    choose: () => undefined, // there are no levels to choose from
    audio: () => sound().map(track),
    audioChosen: () => sound().findIndex((t) => t.enabled),
    chooseAudio: (i) => {
      sound().forEach((t, n) => (t.enabled = n === i));
      listener.changed();
    },
    text: () => words().map(track),
    textChosen: () => words().findIndex((t) => t.mode === 'showing'),
    chooseText: (i) => words().forEach((t, n) => (t.mode = n === i ? 'showing' : 'disabled')),
    live: () => {
      const { duration, seekable, currentTime } = video;
      if (duration !== Infinity || seekable.length === 0) return undefined;
      const edge = seekable.end(seekable.length - 1);
      return { start: seekable.start(0), edge, latency: Math.max(0, edge - currentTime) };
    },
    bandwidth: () => undefined,
    destroy: () => {
      closing.abort();
      video.removeAttribute('src');
      video.load();
    },
  };
}

function track(t: { readonly label: string; readonly language: string }): Track {
  return { label: t.label, language: t.language };
}

function fault(error: MediaError | null): Fault {
  const detail = `media error ${error?.code ?? 0} ${error?.message ?? ''}`.trim();
  switch (error?.code) {
    case MediaError.MEDIA_ERR_NETWORK:
      return { kind: 'network', detail };
    case MediaError.MEDIA_ERR_DECODE:
      return { kind: 'decode', detail };
    case MediaError.MEDIA_ERR_SRC_NOT_SUPPORTED:
      return { kind: 'manifest', detail };
  }
  return { kind: 'unknown', detail };
}
