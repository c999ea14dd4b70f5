package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// plainPeer names the command of plainArgs in results.
const plainPeer = "one ffmpeg command, same rungs and settings, HLS"

// keyInterval is the plain command's rule for key frames, seconds.
const keyInterval = 4

// plain runs one ffmpeg command that makes the rungs of ours of the same clip.
func (b *bench) plain(ctx context.Context, c clip, preset string, ours report, cpus []int) (usage, error) {
	folder, err := b.folder()
	if err != nil {
		return usage{}, err
	}
	defer os.RemoveAll(folder)
	args := append(b.quietFFmpeg(), plainArgs(c.path, preset, ours.Renditions, folder)...)
	return command{args: args, cpus: cpus}.run(ctx)
}

func (b *bench) quietFFmpeg() []string {
	return []string{b.ffmpeg, "-hide_banner", "-nostdin", "-nostats", "-loglevel", "error", "-y"}
}

// plainArgs are what a careful person types: every rung scaled from a split,
// x264 as we run it with as many threads as it likes, AAC once, HLS in fMP4.
func plainArgs(source, preset string, rungs []rendition, folder string) []string {
	args := []string{"-i", source, "-filter_complex", splitScale(rungs)}
	var streams []string
	for i, r := range rungs {
		args = append(args, "-map", fmt.Sprintf("[v%d]", i))
		args = append(args, rungArgs(i, preset, r, r.Quality)...)
		streams = append(streams, fmt.Sprintf("v:%d,agroup:sound", i))
	}
	streams = append(streams, "a:0,agroup:sound")
	return append(args,
		"-force_key_frames", fmt.Sprintf("expr:gte(t,n_forced*%d)", keyInterval),
		"-map", "0:a:0", "-c:a", "aac", "-b:a", "128k", "-ac", "2", "-ar", "48000",
		"-f", "hls", "-hls_time", strconv.Itoa(keyInterval), "-hls_segment_type", "fmp4", "-hls_playlist_type", "vod",
		"-hls_flags", "independent_segments", "-master_pl_name", "master.m3u8", "-var_stream_map", strings.Join(streams, " "),
		"-hls_segment_filename", filepath.Join(folder, "%v", "%05d.m4s"), filepath.Join(folder, "%v", "media.m3u8"))
}

// rungArgs are the encoder's options of output video stream i.
func rungArgs(i int, preset string, r rendition, quality float64) []string {
	option := func(name string) string { return fmt.Sprintf("-%s:v:%d", name, i) }
	return []string{
		option("c"), "libx264", option("preset"), preset, option("profile"), "high",
		option("crf"), strconv.FormatFloat(quality, 'f', -1, 64),
		option("maxrate"), strconv.FormatInt(r.Cap, 10), option("bufsize"), strconv.FormatInt(r.buffer(), 10),
		option("x264-params"), "keyint=infinite:open-gop=0", option("forced-idr"), "1",
	}
}

// splitScale scales each rung from the source.
func splitScale(rungs []rendition) string {
	var graph strings.Builder
	fmt.Fprintf(&graph, "[0:v:0]split=%d", len(rungs))
	for i := range rungs {
		fmt.Fprintf(&graph, "[s%d]", i)
	}
	for i, r := range rungs {
		fmt.Fprintf(&graph, ";[s%d]scale=w=%d:h=%d:flags=bicubic[v%d]", i, r.Width, r.Height, i)
	}
	return graph.String()
}
