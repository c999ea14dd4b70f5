// What was really downloaded: the sizes of media segments, so that the bit
// rate on screen can be measured instead of believed.

interface Segment {
  readonly start: number;
  readonly end: number;
  readonly bitrate: number;
}

const maxSegments = 256;

/** SegmentLog remembers the latest video segments by the time they cover. */
export class SegmentLog {
  private segments: Segment[] = [];

  /** add records a segment of so many bytes that covers [start, start + duration) seconds. */
  add(start: number, duration: number, bytes: number): void {
    if (!(duration > 0) || !(bytes > 0)) return;
    const end = start + duration;
    this.segments = this.segments.filter((s) => s.end <= start + 0.05 || s.start >= end - 0.05);
    this.segments.push({ start, end, bitrate: (bytes * 8) / duration });
    if (this.segments.length > maxSegments) this.segments.shift();
  }

  /** bitrateAt returns the measured bits a second of the segment at a time. */
  bitrateAt(time: number): number | undefined {
    return this.segments.find((s) => s.start <= time && time < s.end)?.bitrate;
  }
}
