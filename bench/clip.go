package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// The shared clips that long ones are joined from: several shots each, real
// pictures and animation, still and fast.
var pictureParts = [...]string{
	"live_multishot/wave_croatia_1080p25_8s.mp4",
	"animation/bbb_720p25_5s_5ch_hq.mp4",
	"people_motion/football_juggle_720p24_10s.mp4",
	"people_motion/woman_dog_720p2997_10s.mp4",
	"animation/bbb_480p24_30s_6ch.mp4",
}

// The sound: speech and music, then a tone for the rest.
var soundParts = [...]string{
	"animation/bbb_480p24_30s_6ch.mp4",
	"people_motion/woman_dog_720p2997_10s.mp4",
}

// longPart is repeated for the long clip.
const longPart = "dark/nasa_spotlight_180p_17s.mp4"

// clip is a source to encode.
type clip struct {
	name   string // "1080p"
	path   string
	ladder string // what to ask liuyun for: four rungs
}

// The ladders: four rungs each.
const (
	ladder1080 = "1080,720,480,360"
	ladder720  = "720,480,360,240"
)

// clips returns the two clips of over a minute, 1080p and 720p.
func (b *bench) clips(ctx context.Context) ([]clip, error) {
	large, err := b.joined(ctx, 1080, ladder1080)
	if err != nil {
		return nil, err
	}
	small, err := b.joined(ctx, 720, ladder720)
	return []clip{large, small}, err
}

// joined is the parts, scaled to one height at 25 frames a second, end to end.
func (b *bench) joined(ctx context.Context, height int, ladder string) (clip, error) {
	c := clip{name: fmt.Sprintf("%dp", height), ladder: ladder}
	most := 60.0 // seconds of each part
	if b.flags.quick {
		c.name, most = c.name+"-quick", 3
	}
	limit := strconv.FormatFloat(most, 'f', -1, 64)
	length := 0.0
	var args, inputs []string
	var graph, joined strings.Builder
	for i, name := range pictureParts {
		path, err := b.media(name)
		if err != nil {
			return clip{}, err
		}
		seconds, err := b.pictureLength(ctx, path)
		if err != nil {
			return clip{}, err
		}
		length += min(seconds, most)
		inputs = append(inputs, path)
		args = append(args, "-t", limit, "-i", path)
		fmt.Fprintf(&graph, "[%d:v:0]scale=w=%d:h=%d:flags=bicubic,setsar=1,fps=25,format=yuv420p[v%d];", i, height*16/9, height, i)
		fmt.Fprintf(&joined, "[v%d]", i)
	}
	fmt.Fprintf(&graph, "%sconcat=n=%d:v=1:a=0[v];", joined.String(), len(pictureParts))
	joined.Reset()
	for i, name := range soundParts {
		path, err := b.media(name)
		if err != nil {
			return clip{}, err
		}
		inputs = append(inputs, path)
		args = append(args, "-t", limit, "-i", path)
		fmt.Fprintf(&graph, "[%d:a:0]aresample=48000,aformat=channel_layouts=stereo[a%d];", len(pictureParts)+i, i)
		fmt.Fprintf(&joined, "[a%d]", i)
	}
	fmt.Fprintf(&graph, "sine=frequency=330:sample_rate=48000:duration=60,aformat=channel_layouts=stereo[tone];%s[tone]concat=n=%d:v=0:a=1[a]",
		joined.String(), len(soundParts)+1)
	args = append(args, "-filter_complex", graph.String(), "-map", "[v]", "-map", "[a]",
		"-c:v", "libx264", "-preset", "medium", "-crf", "18", "-c:a", "aac", "-b:a", "160k", "-t", strconv.FormatFloat(length, 'f', 3, 64))
	var err error
	c.path, err = b.cached(ctx, c.name+".mp4", inputs, args)
	return c, err
}

// twice is a clip twice, end to end.
func (b *bench) twice(ctx context.Context, c clip) (_ clip, err error) {
	c.name += " twice"
	c.path, err = b.cached(ctx, "twice.mp4", []string{c.path}, []string{"-stream_loop", "1", "-i", c.path, "-c", "copy"})
	return c, err
}

// pictureLength is how long the pictures of a file last, seconds.
func (b *bench) pictureLength(ctx context.Context, path string) (float64, error) {
	var text string
	run := command{
		args: []string{b.ffprobe, "-loglevel", "error", "-select_streams", "v:0", "-show_entries", "stream=duration", "-of", "csv=print_section=0", path},
		line: func(line []byte) { text += string(line) },
	}
	if _, err := run.run(ctx); err != nil {
		return 0, err
	}
	return strconv.ParseFloat(strings.TrimRight(text, ",\r"), 64)
}

// long is an hour of small pictures and a tone: it costs little to encode, and
// all that grows with the length of a source grows.
func (b *bench) long(ctx context.Context) (clip, error) {
	c := clip{name: "1h-180p", ladder: "auto"}
	length := "3600"
	if b.flags.quick {
		c.name, length = "2min-180p-quick", "120"
	}
	path, err := b.media(longPart)
	if err != nil {
		return clip{}, err
	}
	c.path, err = b.cached(ctx, c.name+".mp4", []string{path}, []string{
		"-stream_loop", "-1", "-i", path, "-f", "lavfi", "-i", "sine=frequency=330:sample_rate=48000",
		"-map", "0:v:0", "-map", "1:a:0", "-c:v", "copy", "-c:a", "aac", "-b:a", "64k", "-t", length,
	})
	return c, err
}

// media is the path of a shared clip.
func (b *bench) media(name string) (string, error) { return b.shared("media/" + name) }

// shared is the path of a shared file.
func (b *bench) shared(name string) (string, error) {
	shared := os.Getenv("LIUYUN_SHARED")
	if shared == "" {
		shared = filepath.Join(filepath.Dir(b.root), "shared")
	}
	path := filepath.Join(shared, filepath.FromSlash(name))
	if _, err := os.Stat(path); err != nil {
		return "", &absentError{"shared file " + name}
	}
	return path, nil
}

// cached makes a clip with ffmpeg, or takes it from the temporary folder where
// an earlier run has left it. What names it is the content of the inputs, the
// arguments and ffmpeg's version.
func (b *bench) cached(ctx context.Context, name string, inputs, args []string) (string, error) {
	key := sha256.New()
	for _, input := range inputs {
		file, err := os.Open(input)
		if err != nil {
			return "", err
		}
		_, err = io.Copy(key, file)
		file.Close()
		if err != nil {
			return "", err
		}
	}
	spec := strings.Join(args, "\x00")
	for _, input := range inputs {
		spec = strings.ReplaceAll(spec, input, filepath.Base(input))
	}
	fmt.Fprintf(key, "%s %s", b.machine.FFmpeg, spec)
	folder := filepath.Join(os.TempDir(), fmt.Sprintf("liuyun-bench-clips-%d", os.Getuid()), fmt.Sprintf("%x", key.Sum(nil)[:8]))
	path := filepath.Join(folder, name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", err
	}
	b.say("making the clip %s", name)
	making := filepath.Join(b.scratch, name)
	full := append([]string{b.ffmpeg, "-hide_banner", "-nostdin", "-loglevel", "error", "-y"}, args...)
	if _, err := (command{args: append(full, making)}).run(ctx); err != nil {
		return "", fmt.Errorf("make the clip %s: %w", name, err)
	}
	return path, os.Rename(making, path)
}
