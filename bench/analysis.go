package main

import (
	"context"
	"fmt"
	"os"

	"liuyun/internal/av/pixel"
	"liuyun/internal/base/timebase"
	"liuyun/internal/engine/ffmpeg"
	"liuyun/internal/video/transcode/analyse"
)

// analysed are the shared clips that the analysis is measured on, at their own size.
var analysed = [...]struct {
	clip string
	rate timebase.Rational
}{
	{"live_multishot/wave_croatia_1080p25_8s.mp4", timebase.R(25, 1)},
	{"people_motion/football_juggle_720p24_10s.mp4", timebase.R(24, 1)},
}

// measureAnalysis compares the CPU seconds of the analysis, decoding included, with
// those of one child that decodes the same and encodes four rungs at medium.
func measureAnalysis(ctx context.Context, b *bench) ([]result, error) {
	config := ffmpeg.DefaultConfig()
	config.FFmpegPath, config.FFprobePath = b.ffmpeg, b.ffprobe
	tools, err := ffmpeg.Find(ctx, config)
	if err != nil {
		return nil, err
	}
	var list []result
	for _, one := range analysed {
		path, err := b.media(one.clip)
		if err != nil {
			return list, err
		}
		for _, looks := range []bool{false, true} {
			r, err := b.analysisCost(ctx, tools, path, one.rate, looks)
			if err != nil {
				return list, err
			}
			r.Clip, r.Preset, r.Unit = one.clip, "medium", "CPU s"
			r.Peer, r.Bar, r.Bound = "four rungs from one decode", 0.10, atMost
			list = append(list, r)
		}
	}
	return list, nil
}

func (b *bench) analysisCost(ctx context.Context, tools *ffmpeg.Tools, path string, rate timebase.Rational, looks bool) (result, error) {
	folder, err := b.folder()
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(folder)
	file, err := os.Open(path)
	if err != nil {
		return result{}, err
	}
	defer file.Close()
	input := ffmpeg.Input{File: file}
	media, err := tools.Probe(ctx, input)
	if err != nil {
		return result{}, err
	}
	v := media.Video[0]
	picture := ffmpeg.Picture{Width: v.Width, Height: v.Height, Aspect: timebase.R(1, 1), Colour: ffmpeg.BT709}
	finder, err := analyse.New(analyse.Config{Aspect: float64(v.Width) / float64(v.Height), Pixels: v.Width * v.Height, Looks: looks})
	if err != nil {
		return result{}, err
	}
	pass := ffmpeg.Analysis{
		Stream: v.Index, TimeBase: v.TimeBase, Picture: picture, Width: analyse.Width, Height: analyse.Height, InColour: true, Threads: 1,
		Tiles: &ffmpeg.Tiles{Interval: timebase.R(2, 1), Most: 1000, Width: 160, Height: 90, File: "tiles.yuv"},
	}
	var shots pixel.ShotFinder
	var signature []byte
	var times []int64
	found := 0
	before := ownCPU()
	used, err := tools.Analyse(ctx, ffmpeg.Command{Input: input, Dir: folder}, pass, func(pts int64, small []byte) error {
		times = append(times, pts)
		signature = analyse.Squeeze(signature[:0], small, pixel.Width, pixel.Height)
		shots.Add(signature)
		_, look, err := finder.Add(float64(pts)*v.TimeBase.Float(), small)
		if look != nil {
			found++
		}
		return err
	})
	if err != nil {
		return result{}, err
	}
	ours := ownCPU() - before
	unit := ffmpeg.Unit{
		Stream: v.Index, TimeBase: v.TimeBase, Picture: picture, From: times[0], To: times[len(times)-1] + 1, Origin: times[0],
		FrameRate: rate, Count: len(times), Hold: true,
	}
	for i := range 4 {
		height := []int{v.Height, v.Height * 2 / 3, v.Height * 4 / 9, v.Height / 3}[i] &^ 1
		unit.Outputs = append(unit.Outputs, ffmpeg.Output{
			File: fmt.Sprintf("%d.mp4", i), Codec: "h264", Width: (v.Width*height/v.Height + 1) &^ 1, Height: height, Step: 1, KeyFrames: []int{0}, Preset: "medium",
			Quality: 23, MaxRate: 6_000_000, Buffer: 9_000_000, Level: "4", References: 4, Colour: ffmpeg.BT709,
		})
	}
	ladder, err := tools.Encode(ctx, ffmpeg.Command{Input: input, Dir: folder}, unit)
	if err != nil {
		return result{}, err
	}
	what := "without looks"
	if looks {
		what = fmt.Sprintf("%d looks", found)
	}
	return result{
		Ours: used.CPU.Seconds() + ours, Theirs: ladder.CPU.Seconds(),
		Notes: fmt.Sprintf("%s; decoding and scaling %.2f s, ours %.2f s, %d pictures", what, used.CPU.Seconds(), ours, len(times)),
	}, nil
}
