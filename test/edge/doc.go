// Package edge tests edges of the built program: by tests for HTTP caches that are not
// ours, and under kills.
package edge
