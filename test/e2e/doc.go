// Package e2e plays what the program writes with software that is not ours:
// ffmpeg's demuxers, and hls.js, dash.js and Shaka Player in Chromium. Each test
// makes its clip, runs the built program on it as a user would, and judges only
// what comes out. How the program does it is tested beside its packages.
package e2e
