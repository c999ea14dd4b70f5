// <script src="https://host/embed.js" data-asset="ast_…"></script>
// puts a frame with the player in its own place. data-token plays a signed
// asset, data-title names the frame, data-ratio is width by height ("16/9").
{
  const script = document.currentScript as HTMLScriptElement | null;
  const asset = script?.dataset.asset ?? '';
  if (script && /^(ast|str)_\w+$/.test(asset)) {
    const { token, title, ratio } = script.dataset;
    const frame = document.createElement('iframe');
    frame.src = new URL(`/embed/${token ? `~${encodeURIComponent(token)}/` : ''}${asset}`, script.src).href;
    frame.title = title ?? 'Liuyun 流云';
    frame.allow = 'autoplay; fullscreen; picture-in-picture';
    frame.allowFullscreen = true;
    frame.loading = 'lazy';
    Object.assign(frame.style, { display: 'block', width: '100%', aspectRatio: ratio ?? '16/9', border: '0' });
    script.replaceWith(frame);
  }
}
