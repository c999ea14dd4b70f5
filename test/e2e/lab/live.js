// The page in which a player that is not ours watches a live stream for as long as it
// is told, as its makers mean it to: window.live opens it and says how it goes.

const video = document.querySelector('video');
const problems = [];
const stalls = []; // {at: seconds since the opening, seconds}
let since; // of the stall that lasts
let playing = false;
let begun = 0;
let latency = () => Number.NaN;
const texts = new Set(); // of captions that were on the screen

/** Each opens an address and returns what tells how far behind the encoder it is. */
const openers = {
  'hls.js': (url) => openHls(url, { lowLatencyMode: false }),
  'hls.js-low': (url) => openHls(url, { lowLatencyMode: true, maxLiveSyncPlaybackRate: 1.08 }),
  'dash.js': openDash,
  'shaka-hls': (url) => openShaka(url, { streaming: { lowLatencyMode: false } }),
  'shaka-dash': openShaka,
  whep: openWHEP,
};

function openHls(url, config) {
  const { Hls } = window;
  // As many tries as the page of the program itself: an encoder may be away for a while.
  const patient = { maxNumRetry: 30, retryDelayMs: 500, maxRetryDelayMs: 2000 };
  const of = ({ default: usual }) => ({ default: { ...usual, timeoutRetry: patient, errorRetry: patient } });
  const { playlistLoadPolicy, fragLoadPolicy } = Hls.DefaultConfig;
  const hls = new Hls({ ...config, playlistLoadPolicy: of(playlistLoadPolicy), fragLoadPolicy: of(fragLoadPolicy) });
  hls.on(Hls.Events.ERROR, (_, { fatal, details, response, frag }) => note(fatal, `${details} ${response?.code ?? ''} ${frag?.relurl ?? ''}`));
  hls.loadSource(url);
  hls.attachMedia(video);
  return () => hls.latency;
}

function openDash(url) {
  const { MediaPlayer } = window.dashjs;
  const player = MediaPlayer().create();
  player.updateSettings({ debug: { logLevel: 0 } });
  player.on(MediaPlayer.events.ERROR, ({ error }) => note(true, `${error?.code} ${error?.message}`));
  player.initialize(video, url, true);
  return () => player.getCurrentLiveLatency();
}

function openShaka(url, config = {}) {
  const { shaka } = window;
  shaka.polyfill.installAll();
  const player = new shaka.Player();
  player.configure(config);
  player.addEventListener('error', ({ detail }) => note(true, `${detail.code} ${detail.data}`));
  player.attach(video).then(() => player.load(url)).then(() => showText(player)).then(() => video.play()).catch((error) => note(true, `${error.code} ${error.data}`));
  return () => (Date.now() - player.getPlayheadTimeAsDate()?.getTime()) / 1000;
}

function showText(player) {
  const [text] = player.getTextTracks();
  if (text) player.selectTextTrack(text);
}

/** How long it is that no picture comes, in milliseconds, until that is a stall. */
const still = 1000;

/** A video of WebRTC never says that it waits: pictures that do not come tell. */
function openWHEP(url) {
  const pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
  const media = new MediaStream();
  for (const kind of ['video', 'audio']) pc.addTransceiver(kind, { direction: 'recvonly' });
  pc.addEventListener('track', ({ track }) => media.addTrack(track));
  pc.addEventListener('connectionstatechange', () => {
    if (pc.connectionState === 'failed') note(true, 'the connection has failed');
  });
  video.srcObject = media;
  let last;
  const next = () => video.requestVideoFrameCallback((now) => {
    playing = true;
    if (now - last > still) stalls.push({ at: round((last - begun) / 1000), seconds: round((now - last) / 1000) });
    last = now;
    since = undefined;
    next();
  });
  next();
  setInterval(() => {
    if (performance.now() - last > still) since ??= last;
  }, still / 2);
  const connect = async () => {
    await pc.setLocalDescription();
    const answer = await fetch(url, { method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: pc.localDescription.sdp });
    const sdp = await answer.text();
    if (!answer.ok) throw new Error(`${answer.status} ${sdp}`);
    await pc.setRemoteDescription({ type: 'answer', sdp });
    await video.play();
  };
  connect().catch((error) => note(true, error.message));
  return () => Number.NaN;
}

/** A stall that a player reports is counted as one, not as an error. */
function note(fatal, text) {
  if (!fatal && /^buffer(Stalled|Nudge|Seek)/.test(text)) return;
  problems.push(`${seconds().toFixed(1)} s: ${fatal ? 'fatal ' : ''}${text.trim()}`);
}

const seconds = () => (performance.now() - begun) / 1000;

video.addEventListener('waiting', () => {
  if (playing && !video.srcObject) since ??= performance.now();
});
video.addEventListener('error', () => note(true, `video: ${video.error?.message}`));
video.addEventListener('timeupdate', () => {
  if (video.readyState < HTMLMediaElement.HAVE_FUTURE_DATA) return;
  playing = true;
  for (const { activeCues } of video.textTracks) for (const cue of activeCues ?? []) texts.add(cue.getCueAsHTML().textContent);
  if (since === undefined || video.srcObject) return;
  stalls.push({ at: round((since - begun) / 1000), seconds: round((performance.now() - since) / 1000) });
  since = undefined;
});

const round = (v) => Math.round(v * 1000) / 1000;

window.live = {
  open(player, url) {
    begun = performance.now();
    latency = openers[player](url);
    // It plays as soon as there are data. The others begin by themselves: dash.js takes
    // the pause that its own beginning makes for the viewer's, and looks for no news.
    if (player.startsWith('hls.js')) video.play().catch(() => undefined);
  },
  state() {
    return {
      playing, at: round(video.currentTime), latency: round(latency()), stalls, problems, texts: [...texts],
      lasting: since === undefined ? 0 : round((performance.now() - since) / 1000),
      frames: video.getVideoPlaybackQuality().totalVideoFrames,
    };
  },
};
