// A small correct presentation passes; each thing that can be wrong is found.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { checkManifests } from './lib/manifests.mjs';
import { peakBitrate } from './lib/presentation.mjs';

const program = fileURLToPath(new URL('manifests.mjs', import.meta.url));

function playlist(segments, map, extra = '') {
  return `#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:4\n#EXT-X-PLAYLIST-TYPE:VOD\n${extra}${map}${segments.join('')}#EXT-X-ENDLIST\n`;
}

const segment = (duration, uri, range = '') => `#EXTINF:${duration},\n${range}${uri}\n`;
const MAP = '#EXT-X-MAP:URI="init.mp4"\n';
const vtt = 'WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n\n00:00:01.000 --> 00:00:05.000\nhello\n';

/** Two rungs, sound, subtitles and a storyboard: 4 s, then 2.4 s. File names and their contents. */
function film() {
  const files = {
    'master.m3u8': `#EXTM3U
#EXT-X-VERSION:6
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="English",LANGUAGE="en",DEFAULT=YES,AUTOSELECT=YES,CHANNELS="2",URI="audio/en/index.m3u8"
#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="s",NAME="English",LANGUAGE="en",AUTOSELECT=YES,URI="text/en/index.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=10000,CODECS="avc1.640028,mp4a.40.2",RESOLUTION=640x360,VIDEO-RANGE=SDR,FRAME-RATE=25.000,AUDIO="a",SUBTITLES="s",CLOSED-CAPTIONS=NONE
video/hi/index.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=4000,CODECS="avc1.640028,mp4a.40.2",RESOLUTION=320x180,VIDEO-RANGE=SDR,FRAME-RATE=25.000,AUDIO="a",SUBTITLES="s",CLOSED-CAPTIONS=NONE
video/lo/index.m3u8
#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1000,CODECS="avc1.640028",RESOLUTION=320x180,VIDEO-RANGE=SDR,URI="video/lo/iframes.m3u8"
`,
    'video/lo/iframes.m3u8': playlist([
      segment('4.000000', '1.m4s', '#EXT-X-BYTERANGE:500@20\n'), segment('2.400000', '2.m4s', '#EXT-X-BYTERANGE:300@0\n'),
    ], MAP, '#EXT-X-I-FRAMES-ONLY\n'),
    'text/en/index.m3u8': playlist([segment('4.000000', '1.vtt'), segment('2.400000', '2.vtt')], ''),
    'text/en/1.vtt': vtt,
    'text/en/2.vtt': vtt,
    'text/en.vtt': 'WEBVTT\n\n00:00:01.000 --> 00:00:05.000\nhello\n',
    'storyboard.vtt': 'WEBVTT\n\n00:00:00.000 --> 00:00:06.400\nstoryboard/1.jpg#xywh=0,0,160,90\n',
    'storyboard/1.jpg': 'jpeg',
    'audio/en/index.m3u8': playlist([segment('4.010667', '1.m4s'), segment('2.389333', '2.m4s')], MAP),
    'manifest.mpd': mpd(),
  };
  for (const [name, rate] of [['hi', 1000], ['lo', 250]]) {
    files[`video/${name}/index.m3u8`] = playlist([segment('4.000000', '1.m4s'), segment('2.400000', '2.m4s')], MAP);
    Object.assign(files, media(`video/${name}`, rate * 4, rate * 2.4));
  }
  return Object.assign(files, media('audio/en', 1000, 600));
}

function media(folder, first, second) {
  return { [`${folder}/init.mp4`]: 'init', [`${folder}/1.m4s`]: 'x'.repeat(first), [`${folder}/2.m4s`]: 'x'.repeat(second) };
}

function mpd() {
  const template = (folder, timescale, first, second) => `<SegmentTemplate initialization="${folder}/$RepresentationID$/init.mp4" media="${folder}/$RepresentationID$/$Number$.m4s" startNumber="1" timescale="${timescale}"><SegmentTimeline><S t="0" d="${first}"/><S d="${second}"/></SegmentTimeline></SegmentTemplate>`;
  return `<?xml version="1.0" encoding="UTF-8"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-live:2011" type="static" mediaPresentationDuration="PT6.4S" minBufferTime="PT4S">
<Period id="1" start="PT0S">
<AdaptationSet id="1" contentType="video" mimeType="video/mp4" segmentAlignment="true">
${template('video', 1000, 4000, 2400)}
<Representation id="hi" bandwidth="8000" width="640" height="360" frameRate="25" codecs="avc1.640028"/>
<Representation id="lo" bandwidth="2000" width="320" height="180" frameRate="25" codecs="avc1.640028"/>
</AdaptationSet>
<AdaptationSet id="2" lang="en" contentType="audio" mimeType="audio/mp4" segmentAlignment="true">
<Role schemeIdUri="urn:mpeg:dash:role:2011" value="main"/>
${template('audio', 48000, 192512, 114688)}
<Representation id="en" bandwidth="2009" codecs="mp4a.40.2" audioSamplingRate="48000"/>
</AdaptationSet>
<AdaptationSet id="3" lang="en" contentType="text" mimeType="text/vtt">
<Representation id="text-en" bandwidth="100"><BaseURL>text/en.vtt</BaseURL></Representation>
</AdaptationSet>
</Period>
</MPD>
`;
}

/** Writes the files into a folder that is removed after the test, and gives its path. */
function write(t, files) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'manifests-'));
  t.after(() => fs.rmSync(dir, { recursive: true }));
  for (const [name, content] of Object.entries(files)) {
    if (content === undefined) continue;
    fs.mkdirSync(path.dirname(path.join(dir, name)), { recursive: true });
    fs.writeFileSync(path.join(dir, name), content);
  }
  return dir;
}

test('a correct presentation has no problems', (t) => {
  const { problems, summary } = checkManifests(write(t, film()));
  assert.deepEqual(problems, []);
  assert.equal(summary, '1 HLS and 1 DASH presentations, 9 renditions');
});

/** What is changed (file, from, to; no from: the whole file), and the problem that must be found. */
const faults = [
  ['a segment is missing', 'video/hi/2.m4s', undefined, undefined, /segment video\/hi\/2\.m4s is missing/],
  ['a segment is empty', 'audio/en/1.m4s', undefined, '', /segment audio\/en\/1\.m4s is empty/],
  ['the initialization segment is missing', 'video/lo/init.mp4', undefined, undefined, /initialization segment video\/lo\/init\.mp4 is missing/],
  ['no map', 'audio/en/index.m3u8', MAP, '', /has no initialization section/],
  ['a range beyond the file', 'video/lo/iframes.m3u8', '300@0', '601@0', /601@0 ends beyond video\/lo\/2\.m4s, which has 600 bytes/],
  ['a key frame from elsewhere', 'video/lo/iframes.m3u8', '\n2.m4s', '\n../../audio/en/2.m4s', /audio\/en\/2\.m4s is no segment of a video/],
  ['no end', 'video/lo/index.m3u8', '#EXT-X-ENDLIST\n', '', /has no EXT-X-ENDLIST/],
  ['a target of its own', 'text/en/index.m3u8', 'DURATION:4', 'DURATION:5', /target durations differ: .*5/],
  ['above the target', 'video/hi/index.m3u8', '#EXTINF:4.000000', '#EXTINF:4.600000', /lasts 4\.6 s, above the target duration 4/],
  ['sound too short', 'audio/en/index.m3u8', '2.389333', '2.289333', /audio\/en\/index\.m3u8: plays 6\.300 s, -0\.100 s off/],
  ['DASH too long', 'manifest.mpd', 'PT6.4S', 'PT6.5S', /manifest\.mpd: plays 6\.500 s/],
  ['another cut', 'video/lo/index.m3u8', '4.000000', '3.960000', /segment 1 starts at 3\.960 s, in video\/hi\/index\.m3u8 at 4\.000 s/],
  ['another count of segments', 'video/lo/index.m3u8', segment('2.400000', '2.m4s'), '', /has 1 segments, video\/hi\/index\.m3u8 has 2/],
  ['bandwidth too small', 'master.m3u8', 'BANDWIDTH=10000', 'BANDWIDTH=7999', /bandwidth 7999 is below the measured peak 8000/],
  ['bandwidth too large', 'manifest.mpd', 'bandwidth="8000"', 'bandwidth="9000"', /hi: bandwidth 9000 is far above the measured peak 8000/],
  ['a group that is not there', 'master.m3u8', ',AUDIO="a"', ',AUDIO="b"', /names the AUDIO group "b"/],
  ['a playlist that is not there', 'master.m3u8', '\nvideo/lo/index.m3u8', '\nvideo/no/index.m3u8', /names video\/no\/index\.m3u8, which is not a media playlist/],
  ['a playlist that nobody names', 'stray.m3u8', undefined, playlist([segment('4.0', 'video/hi/1.m4s')], ''), /stray\.m3u8: no multivariant playlist names it/],
  ['DASH names another file', 'manifest.mpd', 'id="lo"', 'id="hi2"', /video\/lo\/1\.m4s: named by master\.m3u8, not by manifest\.mpd/],
  ['DASH has another duration', 'manifest.mpd', 'd="192512"/><S d="114688"', 'd="191488"/><S d="115712"', /audio\/en\/1\.m4s: lasts 4\.010667 s in HLS/],
  ['DASH that is no XML', 'manifest.mpd', undefined, '<MPD', /manifest\.mpd: mpd-parser/],
  ['subtitles that are not WebVTT', 'text/en/1.vtt', 'WEBVTT', '1', /does not begin with WEBVTT/],
  ['subtitles without a time map', 'text/en/2.vtt', /X-TIME.*\n/, '', /has no X-TIMESTAMP-MAP/],
  ['a sheet is missing', 'storyboard/1.jpg', undefined, undefined, /sheet storyboard\/1\.jpg is missing/],
];

for (const [name, file, from, to, want] of faults) {
  test(`found: ${name}`, (t) => {
    const files = film();
    const before = files[file];
    files[file] = from === undefined ? to : before.replace(from, to);
    assert.notEqual(files[file], before, 'the change changes nothing');
    const { problems } = checkManifests(write(t, files));
    assert.ok(problems.some((p) => want.test(p)), `want ${want} among:\n${problems.join('\n')}`);
  });
}

test('sound alone', (t) => {
  const files = film();
  for (const name of Object.keys(files)) {
    if (/^(video|text|storyboard)/.test(name)) files[name] = undefined;
  }
  files['master.m3u8'] = '#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=2010,CODECS="mp4a.40.2",CLOSED-CAPTIONS=NONE\naudio/en/index.m3u8\n';
  files['manifest.mpd'] = mpd().replace(/<AdaptationSet id="1"[^]*?<\/AdaptationSet>/, '').replace(/<AdaptationSet id="3"[^]*?<\/AdaptationSet>/, '');
  assert.deepEqual(checkManifests(write(t, files)).problems, []);
});

test('the peak is that of the densest permitted set', () => {
  const sizes = [[6, 600], [1, 1000], [6, 600]].map(([duration, size]) => ({ duration, size }));
  const sizeOf = (s) => s.size;
  assert.equal(Math.round(peakBitrate(sizes, sizeOf, 6, 0)), 1829);
  assert.equal(peakBitrate(sizes.slice(1, 2), sizeOf, 6, 0), 8000);
});

test('exit status', (t) => {
  const run = (...args) => spawnSync(process.execPath, [program, ...args], { encoding: 'utf8' });
  const good = run(write(t, film()));
  assert.equal(good.status, 0, good.stderr);
  assert.match(good.stdout, /all good/);
  const bad = run(write(t, { ...film(), 'video/hi/1.m4s': undefined }));
  assert.equal(bad.status, 1);
  assert.match(bad.stderr, /problems in/);
  assert.equal(run(write(t, {})).status, 1);
  assert.equal(run().status, 2);
  assert.equal(run('no such folder').status, 2);
});
