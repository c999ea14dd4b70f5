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

// analysed are the shared clips that the analysis is measured on, whole and at their own
// size: stretches of films are thirty seconds, and the start of a process, a tenth of a
// second, weighs more the shorter a clip is.
var analysed = [...]struct {
	clip   string
	rate   timebase.Rational
	frames int
}{
	{"live_multishot/wave_croatia_1080p25_8s.mp4", timebase.R(25, 1), 200},
	{"people_motion/football_juggle_720p24_10s.mp4", timebase.R(24, 1), 240},
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
		found, err := b.analysisCost(ctx, tools, path, one.rate, one.frames)
		if err != nil {
			return list, err
		}
		for _, r := range found {
			r.Clip, r.Preset, r.Unit = one.clip, "medium", "CPU s"
			r.Peer, r.Bar, r.Bound = "four rungs from one decode", 0.10, atMost
			list = append(list, r)
		}
	}
	return list, nil
}

// analysisCost measures one clip without looks and with them.
func (b *bench) analysisCost(ctx context.Context, tools *ffmpeg.Tools, path string, rate timebase.Rational, frames int) ([]result, error) {
	folder, err := b.folder()
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	command := ffmpeg.Command{Input: ffmpeg.Input{File: file}, Dir: folder}
	media, err := tools.Probe(ctx, command.Input)
	if err != nil {
		return nil, err
	}
	v := media.Video[0]
	end := v.StartPTS + int64(float64(frames)/(rate.Float()*v.TimeBase.Float()))
	unit := ffmpeg.Unit{
		Stream: v.Index, TimeBase: v.TimeBase, From: v.StartPTS, To: end, Origin: v.StartPTS,
		Picture:   ffmpeg.Picture{Width: v.Width, Height: v.Height, Aspect: timebase.R(1, 1), Colour: ffmpeg.BT709},
		FrameRate: rate, Count: frames, Hold: true,
	}
	for i, height := range [...]int{v.Height, v.Height * 2 / 3, v.Height * 4 / 9, v.Height / 3} {
		height &^= 1
		unit.Outputs = append(unit.Outputs, ffmpeg.Output{
			File: fmt.Sprintf("%d.mp4", i), Codec: "h264", Width: (v.Width*height/v.Height + 1) &^ 1, Height: height, Step: 1, KeyFrames: []int{0}, Preset: "medium",
			Quality: 23, MaxRate: 6_000_000, Buffer: 9_000_000, Level: "4", References: 4, Colour: ffmpeg.BT709,
		})
	}
	ladder, err := tools.Encode(ctx, command, unit)
	if err != nil {
		return nil, err
	}
	var list []result
	for _, looks := range []bool{false, true} {
		r, err := analyseUnit(ctx, tools, command, unit, looks)
		if err != nil {
			return nil, err
		}
		r.Theirs = ladder.CPU.Seconds()
		list = append(list, r)
	}
	return list, nil
}

// analyseUnit runs the analysis over the pictures of a unit, as the program does.
func analyseUnit(ctx context.Context, tools *ffmpeg.Tools, command ffmpeg.Command, unit ffmpeg.Unit, looks bool) (result, error) {
	picture := unit.Picture
	finder, err := analyse.New(analyse.Config{
		Aspect: float64(picture.Width) / float64(picture.Height), Pixels: picture.Width * picture.Height, Looks: looks,
	})
	if err != nil {
		return result{}, err
	}
	pass := ffmpeg.Analysis{
		Stream: unit.Stream, TimeBase: unit.TimeBase, Picture: picture, To: &unit.To,
		Width: analyse.Width, Height: analyse.Height, InColour: true, Threads: 1,
		Tiles: &ffmpeg.Tiles{Interval: timebase.R(2, 1), Most: 1000, Width: 160, Height: 90, File: "tiles.yuv"},
	}
	var shots pixel.ShotFinder
	var signature []byte
	pictures, found := 0, 0
	before := ownCPU()
	used, err := tools.Analyse(ctx, command, pass, func(pts int64, small []byte) error {
		pictures++
		signature = analyse.Squeeze(signature[:0], small, pixel.Width, pixel.Height)
		shots.Add(signature)
		_, look, err := finder.Add(float64(pts)*unit.TimeBase.Float(), small)
		if look != nil {
			found++
		}
		return err
	})
	own := ownCPU() - before
	if err == nil && pictures < unit.Count {
		err = fmt.Errorf("the analysis saw %d pictures of %d", pictures, unit.Count)
	}
	return result{
		Ours:  used.CPU.Seconds() + own,
		Notes: fmt.Sprintf("%d pictures, %d looks; decoding and scaling %.2f s, ours %.2f s", pictures, found, used.CPU.Seconds(), own),
	}, err
}
