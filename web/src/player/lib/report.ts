// report.json as the encoder writes it. Every field is optional here: the page
// shows what it finds and never fails because something is missing.

export interface Rendition {
  id?: string;
  codec?: string;
  codecs?: string;
  width?: number;
  height?: number;
  frame_rate?: string | number;
  bandwidth?: number;
  average_bandwidth?: number;
  vmaf?: number;
}

export interface SourceVideo {
  codec?: string;
  width?: number;
  height?: number;
  frame_rate?: string | number;
}

export interface SourceAudio {
  codec?: string;
  channels?: number;
  sample_rate?: number;
  language?: string;
}

export interface Report {
  name?: string;
  duration?: number;
  size?: number;
  video?: SourceVideo;
  audio: SourceAudio[];
  renditions: Rendition[];
  warnings: { code?: string; message: string }[];
}

type Fields = Record<string, unknown>;

/** readReport takes what it knows from parsed JSON; undefined when there is nothing of a report in it. */
export function readReport(json: unknown): Report | undefined {
  if (!isFields(json)) return undefined;
  const source = isFields(json.source) ? json.source : {};
  return compact<Report>({
    name: text(source.name),
    duration: number(source.duration_s),
    size: number(source.bytes),
    video: isFields(source.video) ? media(source.video) : undefined,
    audio: list(source.audio).map(media),
    renditions: list(json.renditions).map(rendition),
    warnings: list(json.warnings)
      .map((w) => compact({ code: text(w.code), message: text(w.message) ?? '' }))
      .filter((w) => w.message !== ''),
  });
}

function media(f: Fields): SourceVideo & SourceAudio {
  return compact<SourceVideo & SourceAudio>({
    codec: text(f.codec),
    width: number(f.width),
    height: number(f.height),
    frame_rate: rate(f.frame_rate),
    channels: number(f.channels),
    sample_rate: number(f.sample_rate),
    language: text(f.language),
  });
}

function rendition(f: Fields): Rendition {
  return compact<Rendition>({
    id: text(f.id),
    codec: text(f.codec),
    codecs: text(f.codecs),
    width: number(f.width),
    height: number(f.height),
    frame_rate: rate(f.frame_rate),
    bandwidth: number(f.bandwidth),
    average_bandwidth: number(f.average_bandwidth),
    vmaf: number(f.vmaf),
  });
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function list(value: unknown): Fields[] {
  return Array.isArray(value) ? value.filter(isFields) : [];
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function number(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}

/** rate reads a frame rate as text, as a number or as {num, den}. */
function rate(value: unknown): string | number | undefined {
  if (isFields(value)) {
    const [num, den] = [number(value.num), number(value.den)];
    return num && den ? `${num}/${den}` : undefined;
  }
  return text(value) ?? number(value);
}

/** compact drops undefined fields, which exactOptionalPropertyTypes tells from absent ones. */
function compact<T extends object>(fields: { [K in keyof T]: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(fields).filter(([, v]) => v !== undefined)) as T;
}
