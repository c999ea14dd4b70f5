// The pages that are not needed to begin with: one file of code, loaded when first asked for.
export { default as Edges } from './Edges.svelte';
export { default as Keys } from './Keys.svelte';
export { default as Nodes } from './Nodes.svelte';
export { default as Site } from './Site.svelte';
export { default as Sites } from './Sites.svelte';
export { default as Stream } from './Stream.svelte';
export { default as Streams } from './Streams.svelte';
export { default as Tenants } from './Tenants.svelte';
export { default as Usage } from './Usage.svelte';
export { default as Webhook } from './Webhook.svelte';
export { default as Webhooks } from './Webhooks.svelte';
