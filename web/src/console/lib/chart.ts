// The arithmetic of the usage chart.

/** scale rounds a largest value up to 1, 2, 2.5 or 5 times a power of ten, in steps that are as round. */
export function scale(largest: number): { top: number; ticks: number[] } {
  if (!(largest > 0)) return { top: 1, ticks: [0, 1] };
  const raw = largest / 4;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((n) => n * power).find((n) => n >= raw * 0.999_999)!;
  const count = Math.ceil(largest / step - 1e-9);
  return { top: step * count, ticks: Array.from({ length: count + 1 }, (_, i) => step * i) };
}

/** day writes a date as the API wants it, in UTC. */
export const day = (time: number): string => new Date(time).toISOString().slice(0, 10);

/** lastDays is the range of n days that ends with the day of now. */
export function lastDays(n: number, now: number): { from: string; to: string } {
  return { from: day(now - (n - 1) * 86_400_000), to: day(now) };
}

/** daysOf lists the days of a range, both ends included. */
export function daysOf(from: string, to: string): string[] {
  const days: string[] = [];
  for (let time = Date.parse(from); time <= Date.parse(to); time += 86_400_000) days.push(day(time));
  return days;
}

/** thisMonth is from the first day of now's month until now. */
export function thisMonth(now: number): { from: string; to: string } {
  return { from: `${day(now).slice(0, 8)}01`, to: day(now) };
}
