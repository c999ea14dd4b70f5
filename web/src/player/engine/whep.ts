import { connect, Refusal, stereo } from '../../webrtc/signal';
import type { Engine, Fault, Listener, Live } from './engine';

/** How long a way that is lost may come back by itself, in milliseconds. */
const patience = 4000;

/** openWHEP plays a stream by WebRTC: a fraction of a second behind, with no way back. */
export async function openWHEP(video: HTMLVideoElement, url: string, listener: Listener): Promise<Engine> {
  const pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
  const closing = new AbortController();
  const media = new MediaStream();
  let end: (() => void) | undefined;
  let lost: ReturnType<typeof setTimeout> | undefined;
  let ticking: ReturnType<typeof setInterval> | undefined;
  let delay = 0;
  let rate: number | undefined;
  let last = { bytes: 0, at: 0 };

  function fail(fault: Fault): void {
    if (!closing.signal.aborted) listener.failed(fault);
  }
  pc.addTransceiver('video', { direction: 'recvonly' });
  pc.addTransceiver('audio', { direction: 'recvonly' });
  pc.ontrack = ({ track, receiver }) => {
    if ('jitterBufferTarget' in receiver) receiver.jitterBufferTarget = 0;
    media.addTrack(track);
  };
  pc.onconnectionstatechange = () => {
    clearTimeout(lost);
    const away = { kind: 'network', detail: `WebRTC is ${pc.connectionState}` } as const;
    if (pc.connectionState === 'disconnected') lost = setTimeout(() => fail(away), patience);
    if (pc.connectionState === 'failed' || pc.connectionState === 'closed') fail(away);
  };

  /** look measures how late the picture is: on the way, and in the browser's buffer. */
  async function look(): Promise<void> {
    const stats = [...(await pc.getStats()).values()] as Record<string, number | string | boolean>[];
    const number = (value: unknown) => (typeof value === 'number' ? value : 0);
    const pair = stats.find((s) => s.type === 'candidate-pair' && s.nominated === true);
    const picture = stats.find((s) => s.type === 'inbound-rtp' && s.kind === 'video') ?? stats.find((s) => s.type === 'inbound-rtp');
    const shown = number(picture?.jitterBufferEmittedCount);
    delay = number(pair?.currentRoundTripTime) / 2 + (shown > 0 ? number(picture?.jitterBufferDelay) / shown : 0);
    const now = { bytes: number(pair?.bytesReceived), at: performance.now() };
    if (last.at > 0 && now.bytes > last.bytes) rate = ((now.bytes - last.bytes) * 8000) / (now.at - last.at);
    last = now;
    if (!closing.signal.aborted) listener.advanced();
  }
  function destroy(): void {
    closing.abort();
    clearTimeout(lost);
    clearInterval(ticking);
    end?.();
    pc.close();
    video.srcObject = null;
  }
  try {
    end = await connect(pc, url, { offer: stereo, signal: closing.signal });
  } catch (error) {
    destroy();
    const status = error instanceof Refusal ? error.status : 0;
    throw Object.assign(new Error(String(error)), { kind: status === 404 ? 'missing' : status >= 400 && status < 500 ? 'unsupported' : 'network' });
  }
  video.srcObject = media;
  ticking = setInterval(() => void look(), 1000);
  return {
    kind: 'whep',
    levels: () => [],
    playing: () => -1,
    chosen: () => -1,
    choose: () => undefined, // the server chooses by the connection
    audio: () => [],
    audioChosen: () => -1,
    chooseAudio: () => undefined,
    text: () => [],
    textChosen: () => -1,
    chooseText: () => undefined,
    live: (): Live => ({ start: video.currentTime, edge: video.currentTime, latency: delay }),
    bandwidth: () => rate,
    destroy,
  };
}

/** offersWHEP asks whether a server that names an endpoint takes viewers there. */
export async function offersWHEP(url: string): Promise<boolean> {
  if (!('RTCPeerConnection' in window)) return false;
  try {
    return (await fetch(url, { method: 'OPTIONS' })).ok;
  } catch {
    return false;
  }
}
