// The pieces of HTML that people put into their pages.

const escape = (text: string): string => text.replace(/&/g, '&amp;').replace(/"/g, '&quot;').replace(/</g, '&lt;').replace(/>/g, '&gt;');

const ratio = (width: number | undefined, height: number | undefined): string => (width && height ? `${width}/${height}` : '16/9');

/** frameCode is a frame that keeps the picture's shape at any width. */
export function frameCode(page: string, title: string, width?: number, height?: number): string {
  return `<iframe src="${escape(page)}" title="${escape(title)}" style="width:100%;aspect-ratio:${ratio(width, height)};border:0" allow="autoplay; fullscreen; picture-in-picture" allowfullscreen loading="lazy"></iframe>`;
}

/** scriptCode is a script that puts the same frame in its own place. */
export function scriptCode(page: string, title: string, width?: number, height?: number): string {
  const url = new URL(page);
  const parts = url.pathname.split('/');
  const asset = parts.pop() ?? '';
  const last = parts.pop() ?? '';
  const token = last.startsWith('~') ? ` data-token="${escape(decodeURIComponent(last.slice(1)))}"` : '';
  return `<script src="${url.origin}/embed.js" data-asset="${escape(asset)}"${token} data-title="${escape(title)}" data-ratio="${ratio(width, height)}"></${'script'}>`;
}
