import { mount } from 'svelte';
import '../player/theme.css';
import App from './App.svelte';

/** media is where the address of the page says that the media is: /embed/[~token/]<asset or stream>. */
const media = new URL(location.pathname.replace('/embed/', '/play/') + '/', location.origin).href;

mount(App, { target: document.getElementById('app')!, props: { media, stream: /\/str_\w+\/$/.test(media) } });
