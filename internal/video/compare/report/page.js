// What the page does beyond being read: the language, and pictures under a divider.
// Without it all is English, and pictures stand side by side.
'use strict';
document.documentElement.classList.add('live');

function speak(language) {
  document.documentElement.lang = language;
  for (const button of document.querySelectorAll('[data-language]')) {
    button.setAttribute('aria-pressed', String(button.dataset.language === language));
  }
  for (const option of document.querySelectorAll('option[value="0"]')) option.textContent = language === 'en' ? 'Reference' : '参考';
}

function compare(figure) {
  const pair = figure.querySelector('.pair');
  const range = pair.querySelector('input');
  const layers = [...pair.querySelectorAll('.layer')];
  const sides = { left: '0', right: figure.dataset.right };

  const show = () => {
    for (const layer of layers) {
      layer.classList.toggle('left', layer.dataset.of === sides.left);
      layer.classList.toggle('right', layer.dataset.of === sides.right);
    }
  };
  const move = () => pair.style.setProperty('--at', `${range.value}%`);
  const follow = (event) => {
    const { left, width } = pair.getBoundingClientRect();
    range.value = String(Math.round(((event.clientX - left) / width) * 100));
    move();
  };

  range.addEventListener('input', move);
  pair.addEventListener('pointerdown', (event) => {
    pair.setPointerCapture(event.pointerId);
    range.focus({ preventScroll: true });
    follow(event);
    event.preventDefault();
  });
  pair.addEventListener('pointermove', (event) => pair.hasPointerCapture(event.pointerId) && follow(event));
  for (const select of figure.querySelectorAll('select')) {
    select.value = sides[select.dataset.side];
    select.addEventListener('change', () => {
      sides[select.dataset.side] = select.value;
      show();
    });
  }
  const saliency = pair.querySelector('.saliency');
  figure.querySelector('.check input')?.addEventListener('change', (event) => {
    saliency.hidden = !event.target.checked;
  });
  move();
  show();
}

document.addEventListener('DOMContentLoaded', () => {
  for (const button of document.querySelectorAll('[data-language]')) button.addEventListener('click', () => speak(button.dataset.language));
  speak(navigator.language.startsWith('zh') ? 'zh-Hans' : 'en');
  document.querySelectorAll('.moment').forEach(compare);
});
