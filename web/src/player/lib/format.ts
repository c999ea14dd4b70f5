// Quantities as people read them: bit rates, codecs, sizes.

/** bitrate writes bits a second as "850 kb/s" or "2.8 Mb/s"; "–" when unknown. */
export function bitrate(bps: number | undefined): string {
  if (bps === undefined || !Number.isFinite(bps) || bps <= 0) return '–';
  if (bps < 999_500) return `${Math.round(bps / 1000)} kb/s`;
  const mega = bps / 1_000_000;
  return `${mega.toFixed(mega < 9.95 ? 1 : 0)} Mb/s`;
}

/** bytes writes a size with a decimal prefix: "4.1 MB". */
export function bytes(n: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let i = 0;
  while (n >= 1000 && i < units.length - 1) {
    n /= 1000;
    i++;
  }
  return `${i === 0 || n >= 99.95 ? Math.round(n) : n.toFixed(1)} ${units[i]}`;
}

const codecNames: [RegExp, string][] = [
  [/^(avc[13]|h264)/i, 'H.264'],
  [/^(hvc1|hev1|hevc|h265)/i, 'HEVC'],
  [/^(av01|av1)/i, 'AV1'],
  [/^vp0?9/i, 'VP9'],
  [/^mp4a|^aac/i, 'AAC'],
  [/^opus/i, 'Opus'],
  [/^ac-3|^ac3/i, 'Dolby Digital'],
  [/^ec-3|^eac3/i, 'Dolby Digital Plus'],
];

/** codecName names the first codec of an RFC 6381 list: "avc1.64001f,mp4a.40.2" is "H.264". */
export function codecName(codecs: string | undefined): string {
  const first = (codecs ?? '').split(',')[0]!.trim();
  return codecNames.find(([pattern]) => pattern.test(first))?.[1] ?? first;
}

/** frameRate reads "30000/1001", "25" or 25 and writes "29.97" or "25"; "" when unknown. */
export function frameRate(value: string | number | undefined): string {
  if (value === undefined) return '';
  const [num, den = 1] = String(value).split('/').map(Number);
  const rate = num! / den;
  return Number.isFinite(rate) && rate > 0 ? String(Math.round(rate * 100) / 100) : '';
}

/** levelName names a rung by its short side: a portrait 720×1280 is "720p" too. */
export function levelName(width: number, height: number): string {
  const short = Math.min(width || height, height || width);
  return short > 0 ? `${short}p` : '';
}
