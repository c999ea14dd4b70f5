package e2e

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"liuyun/internal/base/timebase"
	"liuyun/internal/testkit"
)

// film is something to encode, and what must come of it.
type film struct {
	source func(t testing.TB) string // the file
	args   []string                  // of encode, besides those that all have
	// shows lists the frame numbers that picture n of the plan may show; nil
	// where pictures carry none.
	shows func(n int) []int
}

func films() map[string]film {
	all := map[string]film{
		// Three codecs, two rungs, many segments, two languages of subtitles,
		// stereo and 5.1: what the browsers play.
		"film": {
			source: generate(withSound(testkit.Numbered("25", filmFrames, 60, 130, 200))),
			args: []string{"--codec", "hevc,av1", "--ladder", "360,180", "--segment", "2s", "--mp4", "--verify", "all",
				"--subtitles", "en=testdata/en.vtt", "--subtitles", "zh=testdata/zh.srt"},
			shows: itself,
		},
		// Timestamps far from zero, B-frames, open GOPs.
		"broadcast": {
			source: generate(more(testkit.Numbered("30000/1001", 150, 70), "numbered.ts", "-preset", "veryfast", "-bf", "3", "-g", "40",
				"-x264-params", "open-gop=1:scenecut=0", "-output_ts_offset", "12345.678")),
			args:  []string{"--codec", "hevc,av1", "--ladder", "180"},
			shows: itself,
		},
		// An edit list that begins inside a GOP.
		"edited": {
			source: func(t testing.TB) string {
				whole := testkit.Generate(t, more(testkit.Numbered("25", 150), "whole.mp4", "-preset", "veryfast", "-bf", "2", "-g", "50"))
				return testkit.Generate(t, testkit.Clip{Name: "edited.mp4", Args: []string{"-ss", "1.4", "-i", whole, "-c", "copy"}})
			},
			args:  []string{"--ladder", "180"},
			shows: func(n int) []int { return []int{n + 35} },
		},
		// Above 60 pictures a second small rungs take every other one.
		"fast": {
			source: generate(testkit.Numbered("100", 300, 120)),
			args:   []string{"--ladder", "360,180"},
			shows:  itself,
		},
		// Pictures that stay: the plan repeats them, and none is early or late.
		"variable": {
			source: generate(gaps(testkit.Numbered("30", gapFrames))),
			args:   []string{"--ladder", "180"},
			shows:  beforeOrAfterGap,
		},
		"variable-pattern": {source: generate(testkit.Variable(3)), args: []string{"--ladder", "180"}},
		"interlaced":       {source: generate(testkit.Interlaced(2)), args: []string{"--ladder", "288"}},
		"rotated":          {source: generate(testkit.Rotated(2)), args: []string{"--ladder", "180"}},
		"odd-size": {source: generate(testkit.Clip{Name: "odd.mkv", Args: []string{"-f", "lavfi", "-i", "testsrc2=size=321x181:rate=24:duration=2",
			"-c:v", "ffv1", "-pix_fmt", "yuv444p"}})},
		"anamorphic": {source: generate(testkit.Clip{Name: "wide.mp4", Args: []string{"-f", "lavfi", "-i", "testsrc2=size=720x576:rate=25:duration=2,setsar=64/45",
			"-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"}})},
		"sound-only": {source: generate(testkit.Clip{Name: "sound.wav", Args: []string{"-f", "lavfi", "-i", chirp}})},
	}
	maps.Copy(all, syncFilms())
	maps.Copy(all, sharedFilms())
	return all
}

// filmNames lists the films in an order that does not change.
func filmNames() []string { return slices.Sorted(maps.Keys(films())) }

const (
	filmFrames = 250
	gapFrames  = 120
)

func itself(n int) []int { return []int{n} }

func generate(clip testkit.Clip) func(testing.TB) string {
	return func(t testing.TB) string { return testkit.Generate(t, clip) }
}

// more gives a clip another name, and options of ffmpeg that win over its own.
func more(clip testkit.Clip, name string, args ...string) testkit.Clip {
	return testkit.Clip{Name: name, Args: slices.Concat(clip.Args, args)}
}

// chirp is a sound that is like itself nowhere else, so that a shift by one
// sample can be seen.
const chirp = "aevalsrc='0.4*sin(2*PI*(200+150*t)*t)|0.4*sin(2*PI*(3000-120*t)*t)':sample_rate=48000:duration=10"

// withSound adds an English chirp in stereo and a French 5.1 to a clip of ten
// seconds, in PCM: nothing in the file shifts it.
func withSound(clip testkit.Clip) testkit.Clip {
	const surround = "sine=frequency=330:sample_rate=48000:duration=10,pan=5.1|c0=c0|c1=c0|c2=c0|c3=c0|c4=c0|c5=c0"
	return testkit.Clip{Name: "film.mov", Args: slices.Concat(
		[]string{"-f", "lavfi", "-i", chirp, "-f", "lavfi", "-i", surround}, clip.Args,
		[]string{"-map", "2:v", "-map", "0:a", "-map", "1:a", "-c:a", "pcm_s16le",
			"-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=fra"})}
}

// gaps leaves out of each twelve frames two, then three.
func gaps(clip testkit.Clip) testkit.Clip {
	args := slices.Clone(clip.Args)
	graph := slices.Index(args, "-i") + 1
	args[graph] += ",select='not(between(mod(n,12),3,4)+between(mod(n,12),8,10))'"
	return testkit.Clip{Name: "gaps.mp4", Args: append(args, "-fps_mode", "vfr")}
}

// beforeOrAfterGap is the frame of gaps that is there at n, else its neighbours.
func beforeOrAfterGap(n int) []int {
	kept := func(n int) bool { m := n % 12; return m < 3 || m > 4 && m < 8 || m > 10 }
	n = min(n, gapFrames-1)
	before, after := n, n
	for !kept(before) {
		before--
	}
	for !kept(after) {
		after++
	}
	return slices.Compact([]int{before, after})
}

// syncFilms flash and beep together, in the containers and with the offsets that
// shift one of them. See flash.
func syncFilms() map[string]film {
	small := []string{"--ladder", "180"}
	sharp := []string{"-preset", "veryfast", "-qp", "10", "-bf", "3", "-g", "40"}
	aac := []string{"-c:a", "aac", "-b:a", "192k"}
	return map[string]film{
		"sync-25":   {source: generate(flashBeep(timebase.R(25, 1), 6)), args: small},
		"sync-29":   {source: generate(more(flashBeep(timebase.R(30000, 1001), 6), "sync.mp4", slices.Concat(sharp, aac)...)), args: small},
		"sync-60":   {source: generate(more(flashBeep(timebase.R(60, 1), 6), "sync.mkv", slices.Concat(sharp, []string{"-c:a", "flac"})...)), args: small},
		"sync-ts":   {source: generate(more(testkit.FlashBeep(25, 6), "sync.ts", slices.Concat(sharp, aac, []string{"-output_ts_offset", "3456.789"})...)), args: small},
		"sync-late": {source: generate(late(testkit.FlashBeep(25, 6))), args: small},
		// The measurements must be able to fail: here the sound is late by offBy.
		outOfSync: {source: generate(more(flashBeep(timebase.R(25, 1), 6), "late.mov", "-af", "adelay=50:all=1,atrim=end=6")), args: small},
		"sync-edited": {
			source: func(t testing.TB) string {
				whole := testkit.Generate(t, more(testkit.FlashBeep(25, 7), "whole.mp4", slices.Concat(sharp, aac)...))
				return testkit.Generate(t, testkit.Clip{Name: "cut.mp4", Args: []string{"-ss", "0.52", "-i", whole, "-c", "copy"}})
			},
			args: small,
		},
	}
}

const (
	outOfSync = "out-of-sync"
	offBy     = 0.050 // seconds
)

// flashBeep is testkit.FlashBeep at any rate, with a flash and a beep at each
// frame whose number is a multiple of the rounded rate, and with a hum between
// the beeps: see flashesAndBeeps in lab/lab.js.
func flashBeep(rate timebase.Rational, seconds int) testkit.Clip {
	every := int(rate.Float() + 0.5)
	period := fmt.Sprintf("%d*%d/%d", every, rate.Den, rate.Num)
	return testkit.Clip{Name: "flashbeep.mov", Args: []string{
		"-f", "lavfi", "-i", fmt.Sprintf("color=black:size=320x180:rate=%s:duration=%d,format=yuv420p,"+
			"drawbox=color=white:t=fill:enable='gt(n,0)*eq(mod(n,%d),0)'", rate, seconds, every),
		"-f", "lavfi", "-i", fmt.Sprintf("aevalsrc='gte(t,%[1]s)*lt(mod(t,%[1]s),0.04)*0.8*sin(2*PI*1000*mod(t,%[1]s))+0.02*sin(2*PI*220*t)':sample_rate=48000:duration=%[2]d", period, seconds),
		"-c:v", "libx264", "-pix_fmt", "yuv420p", "-preset", "veryfast", "-c:a", "pcm_s16le",
	}}
}

// late leaves out the first half second of the sound: an MP4 says so with an
// empty edit.
func late(clip testkit.Clip) testkit.Clip {
	args := slices.Clone(clip.Args)
	return testkit.Clip{Name: "late.mp4", Args: append(args, "-c:a", "aac", "-af", "atrim=start=0.5")}
}

// sharedFilms are real files of each kind.
func sharedFilms() map[string]film {
	shared := map[string]struct {
		path string
		args []string
	}{
		"animation":      {"animation/bbb_720p25_5s_5ch_hq.mp4", []string{"--ladder", "360,144", "--loudness", "-23"}},
		"shots":          {"live_multishot/bikes_272p25_10s.mp4", []string{"--ladder", "272,144"}},
		"upright-4k60":   {"uhd/wall_4k60_portrait_300ms.mp4", []string{"--ladder", "480,240"}},
		"phone":          {"phone_vfr/phone_screen_vfr_1080x2280_8s.mp4", []string{"--ladder", "240"}},
		"phone-turned":   {"phone_vfr/portrait_720x1080_1s.mp4", []string{"--ladder", "240"}},
		"transport":      {"conformance/scte35_360p_10s.ts", []string{"--ladder", "180"}},
		"hdr10":          {"hdr/roof_hdr10_1080p_1s.mp4", []string{"--codec", "hevc", "--ladder", "540,270"}},
		"hlg":            {"hdr/colorchecker_hlg_1080p.mp4", []string{"--codec", "hevc", "--ladder", "270"}},
		"screen":         {"screen/pdf_scroll_1024x768.264", []string{"--ladder", "384"}},
		"speech":         {"audio/jfk_speech_16k.wav", nil},
		"surround":       {"audio/surround51.opus", nil},
		"webcam":         {"talking/asl_woman_480p30_4s.mkv", []string{"--ladder", "240"}},
		"ntsc":           {"people_motion/marathon_400p2997_5s.mp4", []string{"--codec", "av1", "--ladder", "200"}},
		"green":          {"chroma/greenscreen_man_axe_360x640_5s.mp4", []string{"--ladder", "320"}},
		"spotlight-8khz": {"dark/nasa_spotlight_180p_17s.mp4", []string{"--ladder", "180"}},
	}
	all := make(map[string]film)
	for name, s := range shared {
		all["shared-"+name] = film{source: func(t testing.TB) string { return testkit.Media(t, s.path) }, args: s.args}
	}
	return all
}
