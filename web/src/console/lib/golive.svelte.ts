// Going live from the browser: what is captured, and the connection that sends it.

import { connect, Refusal, startRate, stereo } from '../../webrtc/signal';
import type { Key } from '../messages';

export type Picture = 'camera' | 'screen' | 'none';

/** Size is a height of the picture, and the most bits a second that it is sent with. */
export const sizes = [
  { height: 480, bitrate: 1_200_000 },
  { height: 720, bitrate: 2_500_000 },
  { height: 1080, bitrate: 4_500_000 },
] as const;

export interface Choice {
  readonly picture: Picture;
  /** ids of devices; '' for the browser's choice */
  readonly camera: string;
  readonly microphone: string;
  readonly sound: boolean;
  readonly height: number;
}

/** Trouble says what is wrong and what to do; detail is the server's own sentence. */
export interface Trouble {
  readonly words: Key;
  readonly detail: string;
}

type State = 'off' | 'ready' | 'connecting' | 'live' | 'away';

/** How long a connection may take, and how long it is tried again after it was lost: the server waits as long, in milliseconds. */
const connectTime = 20_000;
const comeBack = 30_000;
const pause = 2_000;

/** Broadcast sends what a person shows. The fields are reactive; stop ends all of it. */
export class Broadcast {
  state = $state<State>('off');
  media = $state.raw<MediaStream | undefined>();
  trouble = $state.raw<Trouble | undefined>();
  devices = $state.raw<readonly MediaDeviceInfo[]>([]);
  /** bits a second that are sent */
  rate = $state(0);

  private pc: RTCPeerConnection | undefined;
  private end: (() => void) | undefined;
  private ticking: ReturnType<typeof setInterval> | undefined;
  private bytes = 0;
  private turn = 0;
  private bitrate: number = sizes[1].bitrate;

  /** possible is what keeps this page from going live, before anything is asked. */
  static possible(): Key | undefined {
    if (!window.isSecureContext || !navigator.mediaDevices) return 'goLiveInsecure';
    if (!('RTCPeerConnection' in window)) return 'goLiveOldBrowser';
    return undefined;
  }

  get sending(): boolean {
    return this.state === 'connecting' || this.state === 'live' || this.state === 'away';
  }

  /** show captures what was chosen; while it is live, viewers see the change. */
  async show(choice: Choice): Promise<void> {
    this.trouble = undefined;
    const turn = ++this.turn;
    try {
      const media = await capture(choice);
      if (turn !== this.turn) return release(media);
      const before = this.media;
      this.bitrate = sizes.find((s) => s.height === choice.height)?.bitrate ?? sizes[1].bitrate;
      this.media = media;
      await this.replace(media);
      if (before) release(before);
      media.getVideoTracks()[0]?.addEventListener('ended', () => this.media === media && this.stop()); // the browser's own "stop sharing"
      this.devices = await navigator.mediaDevices.enumerateDevices();
      if (this.state === 'off') this.state = 'ready';
    } catch (error) {
      if (turn === this.turn) this.trouble = captureTrouble(error);
    }
  }

  /** start sends to the endpoint with a stream key. */
  async start(url: string, key: string): Promise<void> {
    if (!this.media || this.sending) return;
    this.trouble = undefined;
    this.state = 'connecting';
    try {
      await this.open(url, key);
      this.state = 'live';
    } catch (error) {
      this.disconnect();
      if (!this.sending) return; // stopped meanwhile
      this.state = 'ready';
      this.trouble = sendTrouble(error);
    }
  }

  /** halt ends the connection; what is captured stays. */
  halt(): void {
    this.disconnect();
    this.state = this.media ? 'ready' : 'off';
  }

  /** stop ends everything. */
  stop(): void {
    this.turn++;
    this.disconnect();
    if (this.media) release(this.media);
    this.media = undefined;
    this.state = 'off';
  }

  private disconnect(): void {
    clearInterval(this.ticking);
    this.end?.();
    this.end = undefined;
    this.pc?.close();
    this.pc = undefined;
    this.rate = this.bytes = 0;
  }

  /** open connects, and resolves when the way to the server is found. */
  private async open(url: string, key: string): Promise<void> {
    const pc = (this.pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' }));
    for (const kind of ['video', 'audio'] as const) {
      const track = this.media?.getTracks().find((t) => t.kind === kind);
      if (!track) continue;
      const transceiver = pc.addTransceiver(track, { direction: 'sendonly', streams: [this.media!], ...(kind === 'video' && { sendEncodings: [{ maxBitrate: this.bitrate }] }) });
      if (kind === 'video') preferH264(transceiver);
    }
    const end = await connect(pc, url, { key, offer: stereo, answer: (sdp) => startRate(sdp, this.bitrate * 0.7) });
    if (this.pc !== pc) return end(); // stopped meanwhile
    this.end = end;
    if (pc.getTransceivers().some((t) => t.sender.track?.kind === 'video' && !t.currentDirection?.includes('send'))) throw new Error('no H.264');
    await keepSize(pc);
    await connected(pc);
    pc.onconnectionstatechange = () => {
      if (this.pc === pc && (pc.connectionState === 'failed' || pc.connectionState === 'closed')) void this.again(url, key);
    };
    this.ticking = setInterval(() => void this.measure(pc), 1000);
  }

  /** again connects anew, for as long as the server keeps the stream for it. */
  private async again(url: string, key: string): Promise<void> {
    this.disconnect();
    this.state = 'away';
    for (const until = Date.now() + comeBack; Date.now() < until && this.state === 'away'; ) {
      try {
        await this.open(url, key);
        if (this.sending) this.state = 'live';
        return;
      } catch (error) {
        this.disconnect();
        if (error instanceof Refusal && error.status !== 409 && error.status < 500) {
          this.trouble = sendTrouble(error);
          break;
        }
      }
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
    if (this.state !== 'away') return;
    this.state = 'ready';
    this.trouble ??= { words: 'goLiveLost', detail: '' };
  }

  private async measure(pc: RTCPeerConnection): Promise<void> {
    const stats = [...(await pc.getStats()).values()] as { type: string; bytesSent?: number }[];
    const bytes = stats.filter((s) => s.type === 'outbound-rtp').reduce((sum, s) => sum + (s.bytesSent ?? 0), 0);
    if (this.pc !== pc) return;
    if (this.bytes > 0) this.rate = Math.max(0, bytes - this.bytes) * 8;
    this.bytes = bytes;
  }

  private async replace(media: MediaStream): Promise<void> {
    for (const sender of this.pc?.getSenders() ?? []) {
      const kind = sender.track?.kind;
      const track = media.getTracks().find((t) => t.kind === kind);
      if (kind && track) await sender.replaceTrack(track);
    }
  }
}

function release(media: MediaStream): void {
  for (const track of media.getTracks()) track.stop();
}

async function capture(choice: Choice): Promise<MediaStream> {
  const devices = navigator.mediaDevices;
  const size = { width: { ideal: Math.round((choice.height * 16) / 9) }, height: { ideal: choice.height } };
  const microphone = choice.sound && { echoCancellation: choice.picture !== 'screen', ...(choice.microphone && { deviceId: { exact: choice.microphone } }) };
  if (choice.picture === 'screen') {
    const screen = await devices.getDisplayMedia({ video: { ...size, frameRate: { ideal: 30 } }, audio: choice.sound });
    // A page or window without sound of its own: the microphone then.
    if (microphone && screen.getAudioTracks().length === 0) {
      const voice = await devices.getUserMedia({ audio: microphone }).catch(() => undefined);
      for (const track of voice?.getTracks() ?? []) screen.addTrack(track);
    }
    for (const track of screen.getVideoTracks()) track.contentHint = 'detail';
    return screen;
  }
  const camera = choice.picture === 'camera' && { ...size, frameRate: { ideal: 30 }, ...(choice.camera && { deviceId: { exact: choice.camera } }) };
  return devices.getUserMedia({ video: camera, audio: microphone });
}

/** preferH264 offers H.264 alone, which is what the server takes. */
function preferH264(transceiver: RTCRtpTransceiver): void {
  const codecs = RTCRtpSender.getCapabilities('video')?.codecs ?? [];
  const fit = codecs.filter((c) => /h264$/i.test(c.mimeType) && (c.sdpFmtpLine ?? '').includes('packetization-mode=1'));
  if (fit.length === 0) throw new Error('no H.264');
  transceiver.setCodecPreferences([...fit, ...codecs.filter((c) => /rtx$/i.test(c.mimeType))]);
}

/** keepSize has the browser send fewer pictures rather than smaller ones: viewers' players begin anew with another size. */
async function keepSize(pc: RTCPeerConnection): Promise<void> {
  for (const sender of pc.getSenders()) {
    if (sender.track?.kind !== 'video') continue;
    const parameters = sender.getParameters() as RTCRtpSendParameters & { degradationPreference?: string };
    parameters.degradationPreference = 'maintain-resolution';
    await sender.setParameters(parameters).catch(() => undefined); // where it is not known
  }
}

function connected(pc: RTCPeerConnection): Promise<void> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error('no way')), connectTime);
    const look = () => {
      if (pc.connectionState === 'connected') resolve();
      else if (pc.connectionState === 'failed' || pc.connectionState === 'closed') reject(new Error('no way'));
      else return;
      clearTimeout(late);
    };
    pc.addEventListener('connectionstatechange', look);
    look();
  });
}

function captureTrouble(error: unknown): Trouble {
  const detail = error instanceof Error ? error.message : String(error);
  switch (error instanceof DOMException ? error.name : '') {
    case 'NotAllowedError':
    case 'SecurityError':
      return { words: 'goLiveDenied', detail };
    case 'NotFoundError':
    case 'OverconstrainedError':
      return { words: 'goLiveNoDevice', detail };
    case 'NotReadableError':
    case 'AbortError':
      return { words: 'goLiveBusy', detail };
  }
  return { words: 'goLiveCapture', detail };
}

function sendTrouble(error: unknown): Trouble {
  if (error instanceof Refusal) {
    const words: Key = error.status === 401 || error.status === 403 ? 'goLiveKeyWrong' : error.status === 409 ? 'goLiveTaken' : 'goLiveRefused';
    return { words, detail: error.detail };
  }
  const detail = error instanceof Error ? error.message : String(error);
  return { words: detail === 'no H.264' ? 'goLiveNoH264' : detail === 'no way' ? 'goLiveNoWay' : 'goLiveNetwork', detail: '' };
}
