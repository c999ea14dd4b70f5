// Playlists of live streams by two parsers that are not ours, each of which says the
// same of them: see playlists.mjs.

import HLS from 'hls-parser';
import { Parser } from 'm3u8-parser';

export const readers = { 'm3u8-parser': byM3u8Parser, 'hls-parser': byHlsParser };

const sum = (list, of) => list.reduce((total, item) => total + of(item), 0);

function byM3u8Parser(text) {
  const warnings = [];
  const parser = new Parser();
  parser.on('warn', ({ message }) => warnings.push(message));
  parser.push(text);
  parser.end();
  const m = parser.manifest;
  if (m.playlists?.length > 0) {
    const sound = Object.values(m.mediaGroups.AUDIO).flatMap((group) => Object.values(group));
    return { warnings, seen: { kind: 'multivariant', variants: m.playlists.length, sound: sound.length, keys: m.iFramePlaylists.length } };
  }
  const parts = (s) => (s.parts ?? []).length;
  return {
    warnings,
    seen: {
      kind: m.iFramesOnly ? 'keys' : m.skip ? 'delta' : 'media',
      sequence: m.mediaSequence, skipped: m.skip?.skippedSegments ?? 0, segments: m.segments.length, seconds: sum(m.segments, (s) => s.duration),
      parts: sum([...m.segments, m.preloadSegment ?? {}], parts),
      hint: m.preloadSegment?.preloadHints?.[0]?.uri ?? '',
      // One before the first part of the open segment is not in that list.
      discontinuities: m.segments.filter((s) => s.discontinuity).length,
    },
  };
}

function byHlsParser(text) {
  const p = parseStrictly(text);
  if (p.isMasterPlaylist) {
    const variants = p.variants.filter((v) => !v.isIFrameOnly);
    const sound = new Set(variants.flatMap((v) => v.audio.map((a) => a.uri)));
    return { warnings: [], seen: { kind: 'multivariant', variants: variants.length, sound: sound.size, keys: p.variants.length - variants.length } };
  }
  const whole = p.segments.filter((s) => s.uri);
  const parts = p.segments.flatMap((s) => s.parts);
  return {
    warnings: [],
    seen: {
      kind: p.isIFrame ? 'keys' : p.skip ? 'delta' : 'media',
      sequence: p.mediaSequenceBase, skipped: p.skip ?? 0, segments: whole.length, seconds: sum(whole, (s) => s.duration),
      parts: parts.filter((part) => !part.hint).length,
      hint: parts.find((part) => part.hint)?.uri ?? '',
      discontinuities: whole.filter((s) => s.discontinuity).length,
      gaps: whole.filter((s) => s.gap).length,
    },
  };
}

/**
 * hls-parser wants parts in the last three segments alone, as if each lasted as long as
 * it may; rfc8216bis (6.2.2) counts three target durations. With that one objection the
 * playlist is read all the same.
 */
function parseStrictly(text) {
  try {
    HLS.setOptions({ strictMode: true, silent: true });
    return HLS.parse(text);
  } catch (error) {
    if (!error.message.includes('Remove EXT-X-PART tags')) throw error;
    HLS.setOptions({ strictMode: false, silent: true });
    return HLS.parse(text);
  }
}
