import { mount } from 'svelte';
import '../player/theme.css';
import App from './App.svelte';

/** media is where the address of the page says that the media is: /embed/[~token/]<asset or stream>. */
const media = new URL(location.pathname.replace('/embed/', '/play/') + '/', location.origin).href;

/** over asks for a stream from the oldest moment that can be had: ?start=over */
const asked = new URLSearchParams(location.search);
const over = asked.get('start') === 'over';

/** wanted is what it shall be played with: ?delivery=dash, or else what suits the browser best */
const wanted = asked.get('delivery') === 'dash' ? 'dash' : undefined;

mount(App, { target: document.getElementById('app')!, props: { media, stream: /\/str_\w+\/$/.test(media), over, wanted } });
