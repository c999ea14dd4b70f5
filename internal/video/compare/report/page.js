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

// look makes the page part of the console, which has it in a frame, in its language and
// colours.
function look({ theme, language }) {
  document.documentElement.classList.add('framed');
  document.getElementById('dark').media = theme === 'dark' ? 'screen' : 'not all';
  speak(String(language).startsWith('zh') ? 'zh-Hans' : 'en');
}

// tell has the frame around the page be as high as the page, so that it is the console
// that scrolls, also to a picture that a link leads to.
function tell() {
  const say = (what) => parent.postMessage({ liuyunReport: what }, '*');
  new ResizeObserver(() => say({ height: Math.ceil(document.body.getBoundingClientRect().height) })).observe(document.body);
  for (const link of document.querySelectorAll('a[href^="#moment-"]')) {
    link.addEventListener('click', (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      const moment = document.getElementById(link.getAttribute('href').slice(1));
      say({ at: Math.round(moment.getBoundingClientRect().top) });
      moment.querySelector('input').focus({ preventScroll: true });
    });
  }
}

// The console says after the # of the address how the page looks at first, #moment-2 says
// nothing of it, and by a message when that changes.
const asked = new URLSearchParams(location.hash.slice(1));
const framed = parent !== window && asked.has('framed');
const first = () => {
  if (framed) look({ theme: asked.get('theme'), language: asked.get('language') });
  else speak(navigator.language.startsWith('zh') ? 'zh-Hans' : 'en');
};
first(); // before there is anything to see
addEventListener('message', (event) => {
  if (framed && event.source === parent && event.data?.liuyunLook) look(event.data.liuyunLook);
});

document.addEventListener('DOMContentLoaded', () => {
  for (const button of document.querySelectorAll('[data-language]')) button.addEventListener('click', () => speak(button.dataset.language));
  first(); // the buttons are there now
  document.querySelectorAll('.moment').forEach(compare);
  if (framed) tell();
});
