// HLS through npm's m3u8-parser.

import { Parser } from 'm3u8-parser';
import { timed } from './presentation.mjs';

/**
 * Reads every playlist of the tree.
 * @returns {import('./presentation.mjs').Presentation[]} one for each multivariant playlist
 */
export function readHls(tree, problems) {
  const playlists = new Map();
  for (const file of tree.files('.m3u8')) playlists.set(file, parse(tree, file, problems));

  const used = new Set();
  const presentations = [];
  for (const [file, manifest] of playlists) {
    if (!isMultivariant(manifest)) continue;
    used.add(file);
    presentations.push(new Reader(tree, file, playlists, used, problems).presentation(manifest));
  }
  for (const file of playlists.keys()) {
    if (!used.has(file)) problems.push(`${file}: no multivariant playlist names it`);
  }
  return presentations;
}

function parse(tree, file, problems) {
  const text = tree.read(file);
  if (!text.startsWith('#EXTM3U\n')) problems.push(`${file}: does not begin with #EXTM3U`);
  const parser = new Parser();
  parser.on('warn', (event) => problems.push(`${file}: m3u8-parser warns: ${event.message}`));
  parser.push(text);
  parser.end();
  return parser.manifest;
}

function isMultivariant(manifest) {
  return (manifest.playlists ?? []).length > 0;
}

/** Follows one multivariant playlist. */
class Reader {
  constructor(tree, file, playlists, used, problems) {
    Object.assign(this, { tree, file, playlists, used, problems });
    this.byPlaylist = new Map();
  }

  presentation(manifest) {
    const groups = { AUDIO: new Map(), SUBTITLES: new Map() };
    for (const [kind, type] of [['AUDIO', 'audio'], ['SUBTITLES', 'text']]) {
      for (const [id, group] of Object.entries(manifest.mediaGroups?.[kind] ?? {})) {
        const members = Object.values(group).filter((m) => m.uri).map((m) => this.rendition(m.uri, type));
        groups[kind].set(id, members.filter(Boolean));
      }
    }
    const variants = manifest.playlists.map((variant) => this.variant(variant, groups)).filter(Boolean);
    for (const variant of manifest.iFramePlaylists ?? []) {
      this.rendition(variant.uri, 'iframes', { bandwidth: variant.attributes.BANDWIDTH });
    }
    return { file: this.file, renditions: [...this.byPlaylist.values()], variants };
  }

  variant({ uri, attributes }, groups) {
    const type = attributes.RESOLUTION ? 'video' : 'audio';
    const own = this.rendition(uri, type, { frameRate: attributes['FRAME-RATE'] });
    if (!own) return undefined;
    const alternatives = [];
    for (const kind of ['AUDIO', 'SUBTITLES']) {
      const id = attributes[kind];
      if (!id) continue;
      if (!groups[kind].has(id)) this.problems.push(`${this.file}: ${uri} names the ${kind} group "${id}", which is not there`);
      else alternatives.push(groups[kind].get(id));
    }
    return { name: `${this.file}: ${uri}`, bandwidth: Number(attributes.BANDWIDTH), own, alternatives };
  }

  /** The rendition of one media playlist, made once however often it is named. */
  rendition(uri, type, more = {}) {
    const name = this.tree.resolve(uri, this.file);
    if (this.byPlaylist.has(name)) return Object.assign(this.byPlaylist.get(name), more);
    const manifest = this.playlists.get(name);
    if (!manifest || isMultivariant(manifest)) {
      this.problems.push(`${this.file}: names ${uri}, which is not a media playlist of the folder`);
      return undefined;
    }
    this.used.add(name);
    const made = { name, type, target: manifest.targetDuration, ended: manifest.endList === true, ...more };
    made.segments = timed(manifest.segments.map((s) => ({
      file: this.tree.resolve(s.uri, name), duration: s.duration, range: s.byterange,
    })));
    const maps = new Set(manifest.segments.map((s) => s.map && this.tree.resolve(s.map.uri, name)));
    if (maps.size > 1) this.problems.push(`${name}: has more than one initialization section`);
    made.init = [...maps][0];
    if (type !== 'text' && !made.init) this.problems.push(`${name}: has no initialization section`);
    this.byPlaylist.set(name, made);
    return made;
  }
}
