// The page of a comparison in a frame of the console. It has an origin of its own, so
// the two talk by its address and by messages.

/** Look is how a report in a frame shall look. */
export interface Look {
  theme: string;
  language: string;
}

/** framedReport is the address at which a report shows itself as part of our page. */
export function framedReport(report: string, look: Look): string {
  return `${report}#${new URLSearchParams({ framed: '1', theme: look.theme, language: look.language })}`;
}

/** tallest bounds what a report may say of its height, pixels */
const tallest = 100_000;

/** readReportMessage is what a report tells: how high it is, or which place in it is asked for. */
export function readReportMessage(data: unknown): { height?: number; at?: number } {
  if (typeof data !== 'object' || data === null || !('liuyunReport' in data)) return {};
  const said = data.liuyunReport;
  if (typeof said !== 'object' || said === null) return {};
  const pixels = (value: unknown) => (typeof value === 'number' && value >= 0 ? Math.min(value, tallest) : undefined);
  const height = 'height' in said ? pixels(said.height) : undefined;
  const at = 'at' in said ? pixels(said.at) : undefined;
  return { ...(height !== undefined && { height }), ...(at !== undefined && { at }) };
}
