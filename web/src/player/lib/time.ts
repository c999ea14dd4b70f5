// Times as people read them.

/**
 * clock writes seconds as "0:07", "12:34" or "1:02:03"; unknown times as
 * "–:––". A frame short of a whole second counts as that second: containers
 * say 29.97 where people say 30.
 */
export function clock(seconds: number): string {
  if (!Number.isFinite(seconds)) return '–:––';
  const whole = Math.max(0, Math.floor(seconds + 0.05));
  const s = String(whole % 60).padStart(2, '0');
  const m = Math.floor(whole / 60) % 60;
  const h = Math.floor(whole / 3600);
  return h > 0 ? `${h}:${String(m).padStart(2, '0')}:${s}` : `${m}:${s}`;
}

/** clamp limits value to [low, high]; high wins when they cross. */
export function clamp(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value));
}
