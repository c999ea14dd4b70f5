package live

import (
	"fmt"
	"math"
	"time"

	"liuyun/internal/flow/ingest"
	"liuyun/internal/flow/window"
)

// health is what inputs and the window say of how it goes; nil where nobody sends and
// nothing is shown.
func (l *session) health(w window.Health) *StreamHealth {
	holding := l.channel.Holding()
	if !l.present() && !holding {
		return nil
	}
	h := &StreamHealth{Inputs: []StreamInput{}, Window: rounded(w.Window.Seconds()), Stored: w.Bytes, Problems: []StreamProblem{}}
	seen := l.onAir
	for _, in := range l.inputs {
		if in != nil {
			h.Inputs = append(h.Inputs, in.report())
		}
		if seen == nil {
			seen = in
		}
	}
	switch {
	case holding:
		h.OnAir = onAirSlate
	case l.onAir != nil && l.onAir.feed.Started():
		h.OnAir = OnAir(l.onAir.role())
	}
	if seen != nil {
		seen.describe(h, w)
	}
	if a, b := l.inputs[primary], l.inputs[backup]; a != nil && b != nil && !ingest.Alike(a.feed, b.feed) {
		h.Problems = append(h.Problems, StreamProblem{Code: "backup_differs", Message: "the backup's pictures or sound are coded otherwise than the primary's, so that viewers see a break when it takes over: set both encoders alike"})
	}
	return h
}

// describe says of an input what the stream's health says of who is on air.
func (in *input) describe(h *StreamHealth, w window.Health) {
	r := in.feed.Report()
	h.Encoder, h.Since = in.connection.Encoder, in.since.UTC().Truncate(time.Millisecond)
	h.VideoCodec, h.Width, h.Height = r.VideoCodec, r.Width, r.Height
	h.AudioCodec, h.SampleRate, h.Channels = r.AudioCodec, r.SampleRate, r.Channels
	h.Bitrate, h.FPS, h.KeyInterval, h.Drift = r.Bitrate, rounded(r.FPS), rounded(r.KeyInterval.Seconds()), rounded(r.Drift.Seconds())
	h.Offset, h.Delay, h.Drops, h.Silence = rounded(r.Offset.Seconds()), rounded(w.Delay.Seconds()), r.Drops+w.Dropped, r.Silent
	q := in.quality()
	h.Loss, h.RTT = rounded(q.Loss), rounded(q.RTT.Seconds())
	h.Problems = append(h.Problems, problems(r, q, w)...)
}

func (in *input) quality() ingest.Quality {
	if in.connection.Quality == nil {
		return ingest.Quality{}
	}
	return in.connection.Quality()
}

// report is how one input goes.
func (in *input) report() StreamInput {
	r, q := in.feed.Report(), in.quality()
	return StreamInput{
		Role: in.role(), OnAir: in == in.session.onAir, Protocol: in.connection.Protocol, Encoder: in.connection.Encoder, Address: in.connection.Remote,
		Since: in.since.UTC().Truncate(time.Millisecond), Width: r.Width, Height: r.Height,
		Bitrate: r.Bitrate, FPS: rounded(r.FPS), KeyInterval: rounded(r.KeyInterval.Seconds()), Drift: rounded(r.Drift.Seconds()), Drops: r.Drops,
		Loss: rounded(q.Loss), RTT: rounded(q.RTT.Seconds()),
	}
}

func rounded(v float64) float64 { return math.Round(v*1000) / 1000 }

// What is told to the sender.
const (
	patientWithKeys     = 6 * time.Second // that key frames are apart
	patientWithPictures = 4 * time.Second // without one
	patientWithDrift    = time.Second
	patientWithLoss     = 0.01
)

// problems is what the sender should see to.
func problems(r ingest.Report, q ingest.Quality, w window.Health) []StreamProblem {
	list := []StreamProblem{}
	add := func(transcode bool, code, format string, args ...any) {
		list = append(list, StreamProblem{code, fmt.Sprintf(format, args...), transcode})
	}
	if r.HasPictures && r.KeyInterval > patientWithKeys {
		add(true, "key_frames", "key frames are %.1f s apart, so that viewers wait to begin: set the encoder's key frame interval to 2 s", r.KeyInterval.Seconds())
	} else if r.Irregular {
		add(false, "key_frames_irregular", "key frames are between %.1f and %.1f s apart: give the encoder a fixed interval of 2 s, and let it make none at changes of scene", r.KeyShortest.Seconds(), r.KeyLongest.Seconds())
	}
	if r.Open {
		add(true, "open_gops", "pictures refer beyond key frames, so that some players show a blemish where they begin: set the encoder to closed GOPs")
	}
	if r.HasPictures && r.Length > patientWithPictures && r.Pictures == 0 {
		add(false, "no_pictures", "no picture has come for %.0f s: look at the encoder and its network", r.Length.Seconds())
	}
	if r.Silence > 0 {
		add(false, "sound_missing", "sound is missing, viewers hear silence: look at the encoder's sound source")
	}
	if r.Holes > 0 {
		add(true, "sound_missing", "sound is missing, and there is no silence of ours for its kind: look at the encoder's sound source, or send AAC-LC or Opus in stereo")
	}
	if r.Jumps > 0 {
		add(false, "jumps", "the encoder's timestamps jump; they were put right, but viewers may see it: look at its clock and sources")
	}
	if r.Drift.Abs() > patientWithDrift {
		add(false, "drift", "the encoder's clock is %+.1f s from ours since it connected; it is followed, but let both machines set their clocks by NTP", r.Drift.Seconds())
	}
	if r.Changes > 0 {
		add(false, "format_changes", "the encoder has changed size, codec or sample rate while on air, and viewers see a break: keep them, or let the stream be transcoded")
	}
	if q.Loss > patientWithLoss {
		add(false, "loss", "%.1f %% of the packets are lost on the way from the encoder: look at its network, or send at a lower rate", 100*q.Loss)
	}
	if w.Disk != nil {
		add(false, "storage", "the disk is full, so that viewers can go back less far: delete something, or give the server a larger disk")
	}
	return list
}
