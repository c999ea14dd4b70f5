package live

import (
	"fmt"
	"math"
	"time"

	"liuyun/internal/flow/ingest"
	"liuyun/internal/flow/window"
)

// health is what the feed and the window say of how it goes.
func (in *input) health(w window.Health) *StreamHealth {
	r := in.feed.Report()
	return &StreamHealth{
		Encoder: in.connection.Encoder, Since: in.since.UTC().Truncate(time.Millisecond),
		VideoCodec: r.VideoCodec, Width: r.Width, Height: r.Height, AudioCodec: r.AudioCodec, SampleRate: r.SampleRate, Channels: r.Channels,
		Bitrate: r.Bitrate, FPS: rounded(r.FPS), KeyInterval: rounded(r.KeyInterval.Seconds()), Drift: rounded(r.Drift.Seconds()),
		Drops: r.Drops + w.Dropped, Silence: r.Silent, Window: rounded(w.Window.Seconds()), Stored: w.Bytes,
		Problems: problems(r, w),
	}
}

func rounded(v float64) float64 { return math.Round(v*1000) / 1000 }

// patientWithKeys is how far apart key frames may be.
const patientWithKeys = 6 * time.Second

// problems is what the sender should see to.
func problems(r ingest.Report, w window.Health) []StreamProblem {
	list := []StreamProblem{}
	add := func(code, format string, args ...any) {
		list = append(list, StreamProblem{code, fmt.Sprintf(format, args...)})
	}
	if r.HasPictures && r.KeyInterval > patientWithKeys {
		add("key_frames", "key frames are %.1f s apart, so that viewers wait to begin: set the encoder's key frame interval to 2 s", r.KeyInterval.Seconds())
	}
	if r.HasPictures && r.Length > patientWithPictures && r.Pictures == 0 {
		add("no_pictures", "no picture has come for %.0f s: look at the encoder and its network", r.Length.Seconds())
	}
	if r.Silence > 0 {
		add("sound_missing", "sound is missing, viewers hear silence: look at the encoder's sound source")
	}
	if r.Jumps > 0 {
		add("jumps", "the encoder's timestamps jump; they were put right, but viewers may see it: look at its clock and sources")
	}
	if w.Disk != nil {
		add("storage", "the disk is full, so that viewers can go back less far: delete something, or give the server a larger disk")
	}
	return list
}

// patientWithPictures is how long none may come.
const patientWithPictures = 4 * time.Second
