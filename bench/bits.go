package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// qualitySteps are the CRFs of the single passes, around ours.
var qualitySteps = [...]float64{-2, 0, 2}

// measureBits compares what our units, each encoded on its own and put end to
// end, need for their SSIM with what one pass over the whole file needs for it,
// key frames at the very frames where our segments begin.
func measureBits(ctx context.Context, b *bench) ([]result, error) {
	const preset = "medium"
	c, err := b.joined(ctx, 1080, ladder1080)
	if err != nil {
		return nil, err
	}
	ours, err := b.encode(ctx, encode{clip: c, preset: preset})
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(ours.folder)
	rungs := ours.report.Renditions
	keys, err := segmentStarts(filepath.Join(ours.folder, filepath.FromSlash(rungs[0].Playlist)), ours.report.Plan.FrameRate)
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, r := range rungs {
		paths = append(paths, filepath.Join(ours.folder, filepath.FromSlash(r.Playlist)))
	}
	made, err := b.weigh(ctx, c, ours.report, paths)
	if err != nil {
		return nil, err
	}
	curves, err := b.singlePasses(ctx, c, preset, ours.report, keys)
	if err != nil {
		return nil, err
	}
	var results []result
	for i, r := range rungs {
		name := fmt.Sprintf("%s %s", c.name, r.ID)
		needed, err := bitsAt(curves[i], made[i].ssim)
		if err != nil {
			return results, fmt.Errorf("%s: %w", name, err)
		}
		same := curves[i][len(qualitySteps)/2]
		results = append(results, result{
			Peer: "a single pass, same key frames, same SSIM", Clip: name, Preset: preset, Unit: "Mbit",
			Ours: made[i].bits / 1e6, Theirs: needed / 1e6, Bar: 1.01, Bound: atMost,
			Notes: fmt.Sprintf("SSIM %.5f; at the same CRF the single pass has %.5f in %.3f times its bits; %d units, %d encoded again for the cap",
				made[i].ssim, same.ssim, same.bits/made[i].bits, ours.report.Plan.Units, r.Recoded),
		})
	}
	return results, nil
}

// singlePasses encodes the whole clip once a quality, as many at a time as there
// are cores, and returns a curve for each rung.
func (b *bench) singlePasses(ctx context.Context, c clip, preset string, ours report, keys []int) ([][]point, error) {
	curves := make([][]point, len(ours.Renditions))
	for i := range curves {
		curves[i] = make([]point, len(qualitySteps))
	}
	slots := make(chan struct{}, len(b.cpus))
	problems := make([]error, len(qualitySteps))
	var group sync.WaitGroup
	for n, step := range qualitySteps {
		group.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			points, err := b.singlePass(ctx, c, preset, ours, keys, step)
			if err != nil {
				problems[n] = err
				return
			}
			for i := range points {
				curves[i][n] = points[i]
			}
		})
	}
	group.Wait()
	return curves, errors.Join(problems...)
}

// singlePass encodes all rungs of the whole clip, the CRF moved by step. As in
// our units each encoder has one thread, so that the cut into units is all that
// differs.
func (b *bench) singlePass(ctx context.Context, c clip, preset string, ours report, keys []int, step float64) ([]point, error) {
	folder, err := b.folder()
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	args := append(b.quietFFmpeg(), "-i", c.path, "-filter_complex", splitScale(ours.Renditions))
	var paths []string
	for i, r := range ours.Renditions {
		path := filepath.Join(folder, r.ID+".mp4")
		paths = append(paths, path)
		args = append(args, "-map", fmt.Sprintf("[v%d]", i))
		args = append(args, rungArgs(0, preset, r, r.Quality+step)...)
		args = append(args, "-threads", "1", "-force_key_frames", keyTimes(keys, ours.Plan.FrameRate), path)
	}
	if _, err := (command{args: args}).run(ctx); err != nil {
		return nil, err
	}
	b.say("  single pass at CRF %+g done", step)
	return b.weigh(ctx, c, ours, paths)
}

// weigh measures the size and the SSIM of one encode of each rung.
func (b *bench) weigh(ctx context.Context, c clip, ours report, paths []string) ([]point, error) {
	points := make([]point, len(paths))
	for i, path := range paths {
		bytes, pictures, err := b.codedSize(ctx, path)
		if err != nil {
			return nil, err
		}
		if pictures != ours.Plan.Frames {
			return nil, fmt.Errorf("%s has %d pictures, the plan %d", filepath.Base(path), pictures, ours.Plan.Frames)
		}
		points[i].bits = 8 * float64(bytes)
	}
	values, err := b.ssim(ctx, c, ours, paths)
	if err != nil {
		return nil, err
	}
	for i := range points {
		points[i].ssim = values[i]
	}
	return points, nil
}

// codedPicture is one without its container.
type codedPicture struct {
	pts   int64 // 0 in files without times
	bytes int64
}

// codedPictures are those of the first picture track, in the order of decoding.
func (b *bench) codedPictures(ctx context.Context, path string) ([]codedPicture, error) {
	var list []codedPicture
	var problem error
	run := command{
		args: []string{b.ffprobe, "-loglevel", "error", "-select_streams", "v:0", "-show_entries", "packet=pts,size", "-of", "csv=print_section=0", path},
		line: func(line []byte) {
			text := strings.TrimRight(string(line), ",\r")
			if text == "" {
				return
			}
			at, size, _ := strings.Cut(text, ",")
			var p codedPicture
			var err, timeErr error
			if p.bytes, err = strconv.ParseInt(size, 10, 64); at != "N/A" {
				p.pts, timeErr = strconv.ParseInt(at, 10, 64)
			}
			problem = errors.Join(problem, err, timeErr)
			list = append(list, p)
		},
	}
	if _, err := run.run(ctx); err != nil {
		return nil, err
	}
	return list, problem
}

// codedSize is the bytes of all coded pictures, and how many there are.
func (b *bench) codedSize(ctx context.Context, path string) (bytes int64, pictures int, err error) {
	list, err := b.codedPictures(ctx, path)
	for _, p := range list {
		bytes += p.bytes
	}
	return bytes, len(list), err
}

// ssim compares each rung with the source scaled to its size, picture by
// picture, and returns the mean over planes and pictures that ffmpeg calls All.
func (b *bench) ssim(ctx context.Context, c clip, ours report, paths []string) ([]float64, error) {
	args := []string{b.ffmpeg, "-hide_banner", "-nostdin", "-nostats", "-loglevel", "info", "-i", c.path}
	rate := ours.Plan.FrameRate
	number := fmt.Sprintf("settb=expr=%d/%d,setpts=N", rate.Den, rate.Num)
	var graph strings.Builder
	fmt.Fprintf(&graph, "[0:v:0]%s,split=%d", number, len(paths))
	for i := range paths {
		fmt.Fprintf(&graph, "[s%d]", i)
	}
	var outputs []string
	for i, path := range paths {
		args = append(args, "-i", path)
		r := ours.Renditions[i]
		fmt.Fprintf(&graph, ";[s%d]scale=w=%d:h=%d:flags=bicubic[r%d];[%d:v:0]%s[e%d];[e%d][r%d]ssim@rung%d[o%d]",
			i, r.Width, r.Height, i, i+1, number, i, i, i, i, i)
		outputs = append(outputs, "-map", fmt.Sprintf("[o%d]", i))
	}
	args = append(append(args, "-filter_complex", graph.String()), append(outputs, "-f", "null", "-")...)
	values := make([]float64, len(paths))
	found := 0
	run := command{args: args, log: func(line string) {
		if rung, value, ok := parseSSIM(line); ok && rung < len(values) {
			values[rung] = value
			found++
		}
	}}
	if _, err := run.run(ctx); err != nil {
		return nil, err
	}
	if found != len(paths) {
		return nil, fmt.Errorf("ffmpeg told the SSIM of %d of %d rungs", found, len(paths))
	}
	return values, nil
}

// parseSSIM reads the last words of the filter called ssim@rungN:
// "[ssim@rung1 @ 0x5581] SSIM Y:0.98 (17.0) U:0.99 (20.0) V:0.99 (20.0) All:0.98 (17.5)".
func parseSSIM(line string) (rung int, value float64, ok bool) {
	_, rest, found := strings.Cut(line, "ssim@rung")
	if !found {
		return 0, 0, false
	}
	digits, rest, _ := strings.Cut(rest, " ")
	_, rest, found = strings.Cut(rest, " All:")
	text, _, _ := strings.Cut(rest, " ")
	rung, err := strconv.Atoi(digits)
	value, valueErr := strconv.ParseFloat(text, 64)
	return rung, value, found && err == nil && valueErr == nil
}

// segmentStarts reads the first frames of the segments out of a media playlist.
func segmentStarts(path string, rate frameRate) ([]int, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return parseSegmentStarts(file, rate)
}

func parseSegmentStarts(playlist io.Reader, rate frameRate) ([]int, error) {
	var starts []int
	var at float64
	lines := bufio.NewScanner(playlist)
	for lines.Scan() {
		text, found := strings.CutPrefix(lines.Text(), "#EXTINF:")
		if !found {
			continue
		}
		text, _, _ = strings.Cut(text, ",")
		length, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("segment %d: %w", len(starts)+1, err)
		}
		starts = append(starts, int(math.Round(at*rate.float())))
		at += length
	}
	if len(starts) == 0 {
		return nil, errors.New("the playlist has no segments")
	}
	return starts, lines.Err()
}

// keyTimes lists frames as times for -force_key_frames.
func keyTimes(frames []int, rate frameRate) string {
	texts := make([]string, len(frames))
	for i, frame := range frames {
		texts[i] = strconv.FormatFloat(float64(frame)*float64(rate.Den)/float64(rate.Num), 'f', 6, 64)
	}
	return strings.Join(texts, ",")
}
