import { mount } from 'svelte';
import App from './App.svelte';
import { applyTheme, loadSettings } from './lib/settings';
import './theme.css';

applyTheme(loadSettings().theme ?? 'system');
mount(App, { target: document.getElementById('app')! });
