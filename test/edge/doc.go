// Package edge tests edges of the built program: by tests for HTTP caches that are not
// ours, under kills, and as edges of a cloud, with its control node and without.
package edge
