import { mount } from 'svelte';
import '../player/theme.css';
import App from './App.svelte';

/** media is where the address of the page says that the media is: /embed/[~token/]<asset or stream>. */
const media = new URL(location.pathname.replace('/embed/', '/play/') + '/', location.origin).href;

/** over asks for a stream from the oldest moment that can be had: ?start=over */
const over = new URLSearchParams(location.search).get('start') === 'over';

mount(App, { target: document.getElementById('app')!, props: { media, stream: /\/str_\w+\/$/.test(media), over } });
