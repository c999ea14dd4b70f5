// The players behind one interface: levels, audio and text are lists; setLevel,
// setAudio and setText take an index. All begin with the lowest level of H.264 and
// stay on a level until told. None throws away what it has when the level changes:
// by the rules of Media Source Extensions that loses the pictures up to the next
// key frame.

/** Each opens a manifest, looks some seconds ahead, and calls fail when something is fatal. */
export const openers = {
  'hls.js': openHls,
  'dash.js': openDash,
  'shaka-hls': openShaka,
  'shaka-dash': openShaka,
};

/** The lowest level of H.264; -1 where there is none. */
function lowest(levels) {
  const h264 = levels.filter((l) => l.codec.includes('avc1'));
  return levels.indexOf(h264.reduce((low, l) => (low === undefined || l.height < low.height ? l : low), undefined));
}

function openHls(video, url, ahead, fail) {
  const { Hls } = window;
  const hls = new Hls({ maxBufferLength: ahead, maxMaxBufferLength: ahead, autoStartLoad: false });
  hls.on(Hls.Events.ERROR, (_, { fatal, details, error }) => fatal && fail(`${details} ${error}`));
  hls.on(Hls.Events.MANIFEST_PARSED, () => {
    hls.loadLevel = Math.max(0, lowest(hls.levels.map((l) => ({ height: l.height, codec: l.videoCodec ?? '' }))));
    hls.startLoad(0);
  });
  hls.loadSource(url);
  hls.attachMedia(video);
  return {
    ready: () => hls.levels.length > 0,
    levels: () => hls.levels.map((l) => ({ height: l.height, codec: l.videoCodec ?? '' })),
    setLevel: (i) => (hls.nextLevel = i),
    audio: () => hls.allAudioTracks.map((t) => ({ language: t.lang ?? '', channels: Number(t.channels) })),
    audioChosen: () => hls.allAudioTracks.indexOf(hls.audioTracks[hls.audioTrack]),
    // Another layout of channels is another group, which levels of their own name.
    setAudio: (i) => {
      const wanted = hls.allAudioTracks[i];
      const now = hls.levels[hls.currentLevel];
      hls.once(Hls.Events.AUDIO_TRACKS_UPDATED, () => (hls.audioTrack = hls.audioTracks.indexOf(wanted)));
      hls.nextLevel = hls.levels.findIndex((l) => l.audioGroups?.includes(wanted.groupId) && l.height === now.height && l.videoCodec === now.videoCodec);
    },
    text: () => hls.subtitleTracks.map((t) => t.lang ?? ''),
    setText: (i) => (hls.subtitleTrack = i),
  };
}

function openDash(video, url, ahead, fail) {
  const { MediaPlayer } = window.dashjs;
  const player = MediaPlayer().create();
  let levels = [];
  player.updateSettings({
    debug: { logLevel: 0 },
    streaming: {
      abr: { autoSwitchBitrate: { video: false }, initialBitrate: { video: 1 } },
      // What dash.js 5.2 keeps behind a seek forward has a hole after it, which it does not
      // fill when a seek goes back there. The page has a better way: engine/dash-seek.ts.
      buffer: { fastSwitchEnabled: false, bufferTimeDefault: ahead, bufferTimeAtTopQuality: ahead, bufferToKeep: 0 },
      trackSwitchMode: { audio: 'alwaysReplace', video: 'alwaysReplace' },
      text: { defaultEnabled: true },
    },
  });
  player.on(MediaPlayer.events.ERROR, ({ error }) => fail(`${error?.code} ${error?.message}`));
  player.on(MediaPlayer.events.STREAM_INITIALIZED, () => {
    levels = player.getTracksFor('video').flatMap((track) =>
      track.bitrateList.map(({ id, height }) => ({ track, id, height, codec: /codecs="([^"]*)"/.exec(track.codec)?.[1] ?? '' })));
  });
  // This is asked about each type of media.
  player.setCustomInitialTrackSelectionFunction((tracks) => [tracks.find((t) => t.codec?.includes('avc1')) ?? tracks[0]]);
  player.initialize(video, url, false);
  const channels = (track) => Number(track.audioChannelConfiguration?.[0]?.value);
  return {
    ready: () => player.isReady(),
    levels: () => levels.map(({ height, codec }) => ({ height, codec })),
    setLevel: (i) => {
      const { track, id } = levels[i];
      if (track.index === player.getCurrentTrackFor('video').index) player.setRepresentationForTypeById('video', id, false);
      else player.setCurrentTrack(track);
    },
    audio: () => player.getTracksFor('audio').map((t) => ({ language: t.lang ?? '', channels: channels(t) })),
    audioChosen: () => player.getTracksFor('audio').findIndex((t) => t.index === player.getCurrentTrackFor('audio')?.index),
    setAudio: (i) => player.setCurrentTrack(player.getTracksFor('audio')[i]),
    text: () => player.getTracksFor('text').map((t) => t.lang ?? ''),
    setText: (i) => player.setTextTrack(i),
  };
}

async function openShaka(video, url, ahead, fail) {
  const { shaka } = window;
  shaka.polyfill.installAll();
  const player = new shaka.Player();
  player.addEventListener('error', ({ detail }) => detail.severity === shaka.util.Error.Severity.CRITICAL && fail(`${detail.code} ${detail.data}`));
  player.configure({ streaming: { bufferingGoal: ahead }, abr: { enabled: false, defaultBandwidthEstimate: 1e5 }, preferredVideo: [{ codec: 'avc1' }], preferredAudio: [{ channelCount: 2 }] });
  await player.attach(video);
  await player.load(url);
  const levels = player.getVideoTracks();
  return {
    ready: () => true,
    levels: () => levels.map((t) => ({ height: t.height, codec: t.codecs })),
    setLevel: (i) => player.selectVideoTrack(levels[i]),
    audio: () => player.getAudioTracks().map((t) => ({ language: t.language, channels: t.channelsCount })),
    audioChosen: () => player.getAudioTracks().findIndex((t) => t.active),
    setAudio: (i) => player.selectAudioTrack(player.getAudioTracks()[i]),
    text: () => player.getTextTracks().map((t) => t.language),
    setText: (i) => player.selectTextTrack(player.getTextTracks()[i]),
  };
}
