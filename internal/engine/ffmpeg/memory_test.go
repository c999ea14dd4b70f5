package ffmpeg

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"liuyun/internal/base/fault"
)

func encoderOf(codec, preset string, width, height int, tenBit bool) Output {
	return Output{Codec: codec, Preset: preset, Width: width, Height: height, References: 16, TenBit: tenBit}
}

// What encoders were measured to hold, without the process around them: megabytes
// of the peak of a run on one thread, less that of a run without the encoder.
func TestMemoryIsAsMeasured(t *testing.T) {
	t.Parallel()
	ahead := func(o Output, n int) Output { o.Lookahead = n; return o }
	tests := []struct {
		name   string
		output Output
		want   float64
	}{
		{"x264 medium 2160p", encoderOf("h264", "medium", 3840, 2160, false), 1336},
		{"x264 medium 2160p, 20 ahead", ahead(encoderOf("h264", "medium", 3840, 2160, false), 20), 835},
		{"x264 medium 2160p, 10 ahead", ahead(encoderOf("h264", "medium", 3840, 2160, false), 10), 582},
		{"x264 veryfast 2160p", encoderOf("h264", "veryfast", 3840, 2160, false), 572},
		{"x264 slow 1080p", encoderOf("h264", "slow", 1920, 1080, false), 443},
		{"x264 veryslow 1080p", encoderOf("h264", "veryslow", 1920, 1080, false), 745},
		{"x265 medium 1080p", encoderOf("hevc", "medium", 1920, 1080, false), 385},
		{"x265 medium 1080p, ten bits", encoderOf("hevc", "medium", 1920, 1080, true), 644},
		{"x265 slow 1080p", encoderOf("hevc", "slow", 1920, 1080, false), 425},
		{"SVT-AV1 7 1080p", encoderOf("av1", "medium", 1920, 1080, false), 383},
		{"SVT-AV1 7 1080p, ten bits", encoderOf("av1", "medium", 1920, 1080, true), 528},
		{"SVT-AV1 7 720p", encoderOf("av1", "medium", 1280, 720, false), 190},
	}
	for _, test := range tests {
		got := test.output.memory(1000) / 1e6
		least, most := 0.85, 1.25
		if test.output.Codec == "h264" {
			least, most = 0.96, 1.04
		}
		if got < least*test.want || got > most*test.want {
			t.Errorf("%s: %.0f MB predicted, %.0f measured", test.name, got, test.want)
		}
	}
	short := encoderOf("h264", "medium", 1920, 1080, false)
	if short.memory(10) >= short.memory(1000) {
		t.Error("ten frames take as much as a thousand")
	}
}

// Whole processes that make an HDR source of 8K smaller: the peak in megabytes.
func TestMemoryOfStripsIsAsMeasured(t *testing.T) {
	t.Parallel()
	deep := Picture{Width: 7680, Height: 4320, Deep: true, Colour: Colour{Primaries: "bt2020", Transfer: "smpte2084", Matrix: "bt2020nc"}}
	for ahead, want := range map[int]float64{10: 1529, 5: 1401} {
		out := encoderOf("h264", "medium", 3840, 2160, false)
		out.ToneMap, out.Lookahead = true, ahead
		got := float64(Unit{Picture: deep, Count: 1000, Outputs: []Output{out}}.Memory()) / 1e6
		if got < 0.95*want || got > 1.1*want {
			t.Errorf("%d frames ahead: %.0f MB predicted, %.0f measured", ahead, got, want)
		}
	}
}

func TestStripsAreEvenAndEqual(t *testing.T) {
	t.Parallel()
	for height, want := range map[int]int{2160: 8, 1440: 8, 1080: 6, 720: 8, 1706: 1, 1608: 6, 2: 1} {
		if got := strips(height); got != want {
			t.Errorf("%d lines: %d strips, want %d", height, got, want)
		}
	}
}

// Units that do not fit beside each other wait; one that never fits is refused.
func TestUnitsWaitForMemory(t *testing.T) {
	t.Parallel()
	unit := Unit{Picture: Picture{Width: 7680, Height: 4320}, Count: 100, Outputs: []Output{encoderOf("h264", "medium", 7680, 4320, false)}}
	synctest.Test(t, func(t *testing.T) {
		tools := (&Tools{}).Within(unit.Memory() * 3 / 2)
		release, err := tools.reserve(t.Context(), unit)
		if err != nil {
			t.Fatal(err)
		}
		began := make(chan func())
		go func() {
			release, err := tools.reserve(context.Background(), unit)
			if err != nil {
				t.Error(err)
			}
			began <- release
		}()
		synctest.Wait()
		select {
		case <-began:
			t.Fatal("two units run in the memory of one and a half")
		default:
		}
		release()
		(<-began)()
		ctx, stop := context.WithCancel(t.Context())
		stop()
		hold, _ := tools.reserve(t.Context(), unit)
		defer hold()
		if _, err := tools.reserve(ctx, unit); fault.CodeOf(err) != fault.Canceled {
			t.Errorf("stopped while waiting: %v", err)
		}
	})
	// What can never fit is refused by who plans it. What is begun all the same runs alone.
	small := (&Tools{}).Within(4e9)
	if err := small.Fits("h264-4320p", unit.Memory()); fault.CodeOf(err) != fault.Unavailable || !strings.Contains(fault.Message(err), "h264-4320p needs about 6.") {
		t.Errorf("got %v", err)
	}
	alone, err := small.reserve(t.Context(), unit)
	if err != nil {
		t.Fatal(err)
	}
	if small.memory.TryAcquire(1) {
		t.Error("a unit that needs more than there is does not run alone")
	}
	alone()
	release, err := (&Tools{}).reserve(t.Context(), unit)
	if err != nil {
		t.Errorf("without a bound: %v", err)
	} else {
		release()
	}
}
