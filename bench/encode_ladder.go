package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"crypto/sha256"

	"liuyun/internal/av/quality"
)

// fixedLadder is the H.264 part of the table of video average bit rates in Apple's
// “HLS Authoring Specification for Apple Devices”, section on bit rates, for pictures
// of 16:9 at up to 30 a second. The peak may be twice the mean there.
var fixedLadder = []struct {
	height int
	rate   int // bits a second
}{
	{234, 145e3}, {360, 365e3}, {432, 730e3}, {432, 1100e3}, {540, 2000e3}, {720, 3000e3}, {720, 4500e3}, {1080, 6000e3}, {1080, 7800e3},
}

// enough is the quality beyond which a rung counts no more.
const enough = 94.0

// programme is a title of over a minute and eight shots.
type programme struct {
	name  string
	parts []programmePart
	bar   float64 // delivered bits, ours over the fixed ladder's
}

// programmePart is a shared clip, or a picture of this checkout.
type programmePart struct {
	path    string
	seconds float64 // from its start; 0: all
	filter  string  // before it is brought to size; of a picture, what moves it
	picture bool
}

const phoneScreen = "phone_vfr/phone_screen_vfr_1080x2280_8s.mp4"

// scroll moves a window of 16:9 down a picture.
func scroll(seconds float64) string {
	return fmt.Sprintf("scale=1280:720:force_original_aspect_ratio=increase:force_divisible_by=2,crop=1280:720:0:'(ih-720)*min(1,max(0,(t-1)/%g))'", seconds-2)
}

func programmes() []programme {
	window := func(at float64) string { return fmt.Sprintf("crop=1080:608:0:(ih-608)*%g", at) }
	return []programme{
		{"mixed", []programmePart{
			{path: "live_multishot/wave_croatia_1080p25_8s.mp4"}, {path: "animation/bbb_720p25_5s_5ch_hq.mp4"},
			{path: "people_motion/football_juggle_720p24_10s.mp4"}, {path: "people_motion/woman_dog_720p2997_10s.mp4"},
			{path: "talking/meeting2_720p25_38s.webm", seconds: 10}, {path: "nature/flower_timelapse_540p_5s.mp4"},
			{path: "talking/jwp_talk_480p_6s.mp4"}, {path: "people_motion/marathon_400p2997_5s.mp4"}, {path: phoneScreen, seconds: 4},
		}, 0.7},
		{"screen", []programmePart{
			{path: phoneScreen, filter: window(0)}, {path: "docs/images/console-desktop.jpg", picture: true, seconds: 7},
			{path: "screen/pdf_scroll_1024x768.264"}, {path: phoneScreen, filter: window(0.5)},
			{path: "docs/images/edges.jpg", picture: true, seconds: 7}, {path: "screen/pdf_scroll_1024x768.264", filter: "reverse"},
			{path: "docs/images/console-phone.jpg", picture: true, seconds: 9}, {path: phoneScreen, filter: window(1)},
			{path: "docs/images/player-phone.jpg", picture: true, seconds: 9}, {path: "docs/images/console-desktop.jpg", picture: true, seconds: 5, filter: "hflip"},
		}, 0.5},
		{"animation", []programmePart{
			{path: "animation/bbb_480p24_30s_6ch.mp4"}, {path: "animation/bbb_720p25_5s_5ch_hq.mp4"},
			{path: "animation/bbb_480p24_30s_6ch.mp4", seconds: 20, filter: "hflip"}, {path: "animation/bbb_720p25_5s_5ch_hq.mp4", filter: "hflip,reverse"},
		}, 0.5},
	}
}

// quickPart is what is taken of each part for a trial, seconds.
const quickPart = 2.4

// programme joins the parts at 720p and 25 frames a second.
func (b *bench) programme(ctx context.Context, p programme) (string, error) {
	var args, inputs []string
	var graph, joined strings.Builder
	for i, part := range p.parts {
		path := filepath.Join(b.root, filepath.FromSlash(part.path))
		if !part.picture {
			var err error
			if path, err = b.media(part.path); err != nil {
				return "", err
			}
		} else {
			args = append(args, "-loop", "1", "-framerate", "25")
		}
		if b.flags.quick {
			part.seconds = quickPart
		}
		if part.seconds > 0 {
			args = append(args, "-t", strconv.FormatFloat(part.seconds, 'f', -1, 64))
		}
		inputs = append(inputs, path)
		args = append(args, "-i", path)
		filters := []string{"scale=w=1280:h=720:flags=bicubic:force_original_aspect_ratio=increase", "crop=1280:720", "setsar=1", "fps=25", "format=yuv420p"}
		if part.picture {
			filters = append([]string{scroll(part.seconds)}, filters...)
		}
		if part.filter != "" {
			filters = append([]string{part.filter}, filters...)
		}
		fmt.Fprintf(&graph, "[%d:v:0]%s[v%d];", i, strings.Join(filters, ","), i)
		fmt.Fprintf(&joined, "[v%d]", i)
	}
	fmt.Fprintf(&graph, "%sconcat=n=%d:v=1:a=0[v]", joined.String(), len(p.parts))
	name := "programme-" + p.name
	if b.flags.quick {
		name += "-quick"
	}
	args = append(args, "-filter_complex", graph.String(), "-map", "[v]", "-c:v", "libx264", "-preset", "veryfast", "-crf", "8", "-g", "50")
	return b.cached(ctx, name+".mp4", inputs, args)
}

// measureEncodeLadder plays each programme from its own ladder and from the fixed one.
func measureEncodeLadder(ctx context.Context, b *bench) ([]result, error) {
	model, err := b.vmafModel("vmaf_v0.6.1neg.json")
	if err != nil {
		return nil, err
	}
	file, err := os.Open(filepath.Join(b.root, "bench", "testdata", "networks.csv"))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	nets, err := readNetworks(file)
	if err != nil {
		return nil, err
	}
	var results []result
	for _, p := range programmes() {
		found, err := b.compareLadders(ctx, p, model, nets)
		if err != nil {
			return results, fmt.Errorf("%s: %w", p.name, err)
		}
		results = append(results, found...)
	}
	return results, nil
}

func (b *bench) vmafModel(name string) (string, error) {
	path, err := b.media("../vmaf/" + name)
	if err != nil {
		return "", &absentError{"the VMAF model " + name}
	}
	return filepath.Clean(path), nil
}

func (b *bench) compareLadders(ctx context.Context, p programme, model string, nets []bandwidth) ([]result, error) {
	const preset = "medium"
	source, err := b.programme(ctx, p)
	if err != nil {
		return nil, err
	}
	theirs, err := b.fixed(ctx, source, preset, model)
	if err != nil {
		return nil, err
	}
	ours, note, err := b.own(ctx, source, preset, model)
	if err != nil {
		return nil, err
	}
	t, o := theirs.deliver(nets), ours.deliver(nets)
	const peer = "Apple's H.264 table, 2-pass capped VBR"
	base := result{Peer: peer, Clip: p.name + " 720p", Preset: preset}
	bits, mean, low := base, base, base
	bits.Unit, bits.Ours, bits.Theirs, bits.Bar = "Mbit/s delivered", o.rate/1e6, t.rate/1e6, p.bar
	bits.Notes = fmt.Sprintf("%s; stalled %.2f %% of the time, theirs %.2f %%; fixed: %s; own: %s", note, o.stalled, t.stalled, theirs, ours)
	mean.Unit, mean.Ours, mean.Theirs, mean.Bar, mean.Bound = "NEG delivered, mean", o.mean, t.mean, 1, atLeast
	low.Unit, low.Ours, low.Theirs, low.Bar, low.Bound = "NEG delivered, 5th percentile", o.low, t.low, 1, atLeast
	return []result{bits, mean, low}, nil
}

// String lists the rungs: name, kbit/s and quality.
func (l ladder) String() string {
	var list []string
	for _, r := range l.rungs {
		list = append(list, fmt.Sprintf("%s %.0fk %.1f", r.name, r.mean/1e3, r.quality))
	}
	return strings.Join(list, ", ")
}

// kept makes a folder below build once: what names it is a key. The folder is there
// whole or not at all.
func (b *bench) kept(key string, make func(folder string) error) (string, error) {
	sum := sha256.Sum256([]byte(key))
	folder := filepath.Join(b.root, "build", "bench-ladder", fmt.Sprintf("%x", sum[:8]))
	if _, err := os.Stat(folder); err == nil {
		return folder, nil
	}
	making := folder + ".part"
	if err := os.MkdirAll(making, 0o755); err != nil {
		return "", err
	}
	if err := make(making); err != nil {
		return "", err
	}
	return folder, os.Rename(making, folder)
}

// segmentLength is of the fixed ladder's segments, each with its key frame.
const segmentLength = 4

// fixed encodes the fixed ladder up to 720p in two passes each.
func (b *bench) fixed(ctx context.Context, source, preset, model string) (ladder, error) {
	var l ladder
	for _, f := range fixedLadder {
		if f.height > 720 {
			continue
		}
		rate := strconv.Itoa(f.rate)
		args := []string{"-i", source, "-an", "-vf", fmt.Sprintf("scale=-2:%d:flags=bicubic", f.height), "-c:v", "libx264", "-preset", preset,
			"-profile:v", "high", "-b:v", rate, "-maxrate", strconv.Itoa(2 * f.rate), "-bufsize", strconv.Itoa(3 * f.rate),
			"-force_key_frames", fmt.Sprintf("expr:gte(t,n_forced*%d)", segmentLength), "-threads", strconv.Itoa(len(b.cpus))}
		folder, err := b.kept(b.machine.FFmpeg+" fixed 1 "+strings.Join(args, " "), func(folder string) error {
			b.say("  fixed ladder: %dp at %d kb/s", f.height, f.rate/1000)
			log := filepath.Join(folder, "pass")
			for pass := 1; pass <= 2; pass++ {
				out := []string{"-pass", strconv.Itoa(pass), "-passlogfile", log, filepath.Join(folder, "rung.mp4")}
				if pass == 1 {
					out = []string{"-pass", "1", "-passlogfile", log, "-f", "null", os.DevNull}
				}
				if _, err := (command{args: append(append(b.quietFFmpeg(), args...), out...)}).run(ctx); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return l, err
		}
		sizes, err := b.pictureSizes(ctx, filepath.Join(folder, "rung.mp4"))
		if err != nil {
			return l, err
		}
		l.lengths = nil
		r := rung{name: fmt.Sprintf("%dp", f.height)}
		for from := 0; from < len(sizes); from += 25 * segmentLength {
			part := sizes[from:min(from+25*segmentLength, len(sizes))]
			l.lengths = append(l.lengths, float64(len(part))/25)
			r.bits = append(r.bits, bitsOf(part))
		}
		r.mean = bitsOf(sizes) / (float64(len(sizes)) / 25)
		if r.quality, err = b.counted(ctx, source, filepath.Join(folder, "rung.mp4"), folder, model); err != nil {
			return l, err
		}
		l.rungs = append(l.rungs, r)
	}
	return l, nil
}

// own has liuyun make the programme's own ladder.
func (b *bench) own(ctx context.Context, source, preset, model string) (ladder, string, error) {
	var l ladder
	program, err := os.ReadFile(b.liuyun)
	if err != nil {
		return l, "", err
	}
	folder, err := b.kept(fmt.Sprintf("own 1 %s %x %s %s", b.machine.FFmpeg, sha256.Sum256(program), source, preset), func(folder string) error {
		b.say("  own ladder of %s", filepath.Base(source))
		out := filepath.Join(folder, "stream")
		run := command{args: []string{b.liuyun, "encode", source, "-o", out, "--quiet", "--preset", preset, "--ladder", "auto", "--vmaf-model", model}}
		_, err := run.run(ctx)
		return err
	})
	if err != nil {
		return l, "", err
	}
	var made struct {
		report
		Ladder *struct {
			CPU   float64 `json:"cpu_s"`
			Spans int     `json:"spans"`
		} `json:"ladder"`
	}
	data, err := os.ReadFile(filepath.Join(folder, "stream", "report.json"))
	if err == nil {
		err = json.Unmarshal(data, &made)
	}
	if err != nil {
		return l, "", err
	}
	for i := len(made.Renditions) - 1; i >= 0; i-- {
		r := made.Renditions[i]
		playlist := filepath.Join(folder, "stream", filepath.FromSlash(r.Playlist))
		starts, err := segmentStarts(playlist, made.Plan.FrameRate)
		if err != nil {
			return l, "", err
		}
		sizes, err := b.pictureSizes(ctx, playlist)
		if err != nil {
			return l, "", err
		}
		fps := made.Plan.FrameRate.float()
		l.lengths = nil
		one := rung{name: strings.TrimPrefix(r.ID, "h264-"), mean: bitsOf(sizes) / (float64(len(sizes)) / fps)}
		for k, from := range starts {
			to := len(sizes)
			if k+1 < len(starts) {
				to = starts[k+1]
			}
			l.lengths = append(l.lengths, float64(to-from)/fps)
			one.bits = append(one.bits, bitsOf(sizes[from:to]))
		}
		if one.quality, err = b.counted(ctx, source, playlist, filepath.Join(folder, r.ID), model); err != nil {
			return l, "", err
		}
		l.rungs = append(l.rungs, one)
	}
	note := fmt.Sprintf("%d rungs", len(l.rungs))
	return l, note, nil
}

func bitsOf(sizes []float64) float64 {
	sum := 0.0
	for _, s := range sizes {
		sum += 8 * s
	}
	return sum
}

// pictureSizes are the bytes of the coded pictures in the order of decoding.
func (b *bench) pictureSizes(ctx context.Context, path string) ([]float64, error) {
	list, err := b.codedPictures(ctx, path)
	sizes := make([]float64, len(list))
	for i, p := range list {
		sizes[i] = float64(p.bytes)
	}
	return sizes, err
}

// measuredEvery: one picture in so many is compared. It has no divisor in common with
// a pyramid of B pictures.
const measuredEvery = 11

// counted is the mean VMAF NEG of an encode enlarged to the source's size, no more than
// enough. It is kept in folder.
func (b *bench) counted(ctx context.Context, source, made, folder, model string) (float64, error) {
	name := filepath.Join(folder, "neg.json")
	var mean float64
	if data, err := os.ReadFile(name); err == nil && json.Unmarshal(data, &mean) == nil {
		return min(mean, enough), nil
	}
	text, err := os.ReadFile(model)
	if err != nil {
		return 0, err
	}
	m, err := quality.ParseModel(text)
	if err != nil {
		return 0, err
	}
	if mean, err = b.neg(ctx, source, made, m); err != nil {
		return 0, err
	}
	data, err := json.Marshal(mean)
	if err != nil {
		return 0, err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return 0, err
	}
	return min(mean, enough), os.WriteFile(name, data, 0o644)
}

// neg decodes both side by side and measures one picture in measuredEvery.
func (b *bench) neg(ctx context.Context, source, made string, model *quality.Model) (float64, error) {
	const width, height = 1280, 720
	graph := fmt.Sprintf("[0:v]format=yuv420p,extractplanes=y,settb=1/25,setpts=N[s];"+
		"[1:v]format=yuv420p,extractplanes=y,scale=%d:%d:flags=bicubic:in_range=tv:out_range=tv,settb=1/25,setpts=N[m];[s][m]vstack=shortest=1", width, height)
	args := append(b.quietFFmpeg(), "-i", source, "-i", made, "-filter_complex", graph, "-f", "rawvideo", "-")
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	meter, err := quality.NewMeter(width, height, 8, model)
	if err != nil {
		return 0, err
	}
	mean, err := meanNEG(out, width, height, meter)
	if waitErr := cmd.Wait(); err == nil {
		err = waitErr
	}
	return mean, err
}

// meanNEG reads pairs of pictures, the source above the encode.
func meanNEG(in io.Reader, width, height int, meter *quality.Meter) (float64, error) {
	plane := func(pix []byte) quality.Plane {
		return quality.Plane{Width: width, Height: height, Stride: width, Depth: 8, Pix: pix}
	}
	size := width * height
	before, pair := make([]byte, size), make([]byte, 2*size)
	var waits *quality.Scores
	var held []byte
	sum, count := 0.0, 0
	add := func() {
		sum += min(max(waits.VMAF[0], 0), 100)
		count++
		waits = nil
	}
	for n := 0; ; n++ {
		_, err := io.ReadFull(in, pair)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return 0, err
		}
		ref := plane(pair[:size])
		if waits != nil {
			motion, err := meter.Motion(plane(held), ref)
			if err != nil {
				return 0, err
			}
			waits.Settle(motion)
			add()
		}
		if n%measuredEvery == measuredEvery/2 {
			past := plane(before)
			scores, err := meter.Frame(ref, plane(pair[size:]), &past)
			if err != nil {
				return 0, err
			}
			waits, held = &scores, append(held[:0], pair[:size]...)
		}
		copy(before, pair[:size])
	}
	if waits != nil {
		add()
	}
	if count == 0 || math.IsNaN(sum) {
		return 0, errors.New("no picture could be compared")
	}
	return sum / float64(count), nil
}
