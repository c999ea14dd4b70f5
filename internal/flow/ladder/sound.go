package ladder

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"liuyun/internal/engine/ffmpeg"
	"liuyun/internal/flow/hub"
	"liuyun/internal/kit/proc"
)

// Sound makes the sound of a stream in another codec.
type Sound struct {
	Source *hub.Reader
	From   hub.Codec // what it is made of; sound in another codec is left alone. "" is any
	Codec  hub.Codec // AAC or Opus
	Maker  Maker
	Limits proc.Limits // of a child
	Log    *slog.Logger

	stream  *hub.Stream
	config  []byte
	rate    int64 // ticks a second of what is made
	channel int   // channels of it
	next    int64 // the earliest time of the next frame
}

// NewSound returns what makes the sound of source; see Run. Its stream is there from
// the beginning.
func NewSound(s Sound) *Sound {
	s.stream, s.next = hub.New(hub.Limits{Units: 512, Bytes: 1 << 20}), none
	return &s
}

// Stream has one track, of the codec.
func (s *Sound) Stream() *hub.Stream { return s.stream }

// Rates of what is made: enough for speech and music, as encoders make them.
const (
	aacRate  = 128_000
	opusRate = 96_000
)

// soundFrame is how much of a second a frame may be off and still follow the one
// before.
const soundFrame = 50 // of a second

// Run makes the sound until the source ends or ctx does, and ends the stream then. A
// child that dies is followed by another, which goes on with what comes.
func (s *Sound) Run(ctx context.Context) {
	defer s.stream.End(nil)
	delay := soon
	var from *hub.Track
	var index int
	for {
		var err error
		if from == nil {
			if from, index, err = s.wait(ctx); err != nil {
				return
			}
		}
		started := time.Now()
		next, ended, failed := s.child(ctx, *from, index)
		if ctx.Err() != nil || ended {
			return
		}
		if next != nil {
			if from, index = s.pick(next); from == nil {
				continue
			}
		}
		if failed == nil {
			continue
		}
		if time.Since(started) > stable {
			delay = soon
		}
		s.Log.Warn("the child that makes sound has ended; another goes on", "codec", s.Codec, "cause", failed, "in", delay)
		select {
		case <-ctx.Done():
			return
		case <-time.After(delay):
		}
		delay = min(2*delay, mostDelay)
	}
}

// wait waits for a period that has sound.
func (s *Sound) wait(ctx context.Context) (*hub.Track, int, error) {
	for {
		item, err := s.Source.Next(ctx)
		if err != nil {
			return nil, 0, err
		}
		if t, i := s.pick(item.Tracks); t != nil {
			return t, i, nil
		}
	}
}

// pick returns the track of sound among tracks, and where it is.
func (s *Sound) pick(tracks []hub.Track) (*hub.Track, int) {
	i := slices.IndexFunc(tracks, func(t hub.Track) bool { return !t.Codec.Video() && (s.From == "" || t.Codec == s.From) })
	if i < 0 {
		return nil, 0
	}
	t := tracks[i]
	return &t, i
}

// child runs one child until the period ends, and returns the tracks of the next one;
// or until the source has ended; or until the child fails.
func (s *Sound) child(ctx context.Context, from hub.Track, index int) (next []hub.Track, ended bool, failed error) {
	live := ffmpeg.Live{
		Source: ffmpeg.LiveSource{
			Codec: codecName(from.Codec), Config: from.Config, Clock: from.Clock, SampleRate: int(from.Clock), Channels: from.Channels,
		},
		Limits: s.Limits,
	}
	sound := &ffmpeg.LiveSound{Codec: string(s.Codec), SampleRate: 48000, Channels: min(max(from.Channels, 1), 2), Rate: opusRate, Output: s}
	if s.Codec == hub.AAC {
		sound.Rate = aacRate
	}
	s.rate, s.channel = int64(sound.SampleRate), sound.Channels
	live.Sound = sound
	_, failed = s.Maker.RunLive(ctx, live, func(ctx context.Context, write func(ffmpeg.LiveUnit) error) error {
		for {
			item, err := s.Source.Next(ctx)
			switch {
			case err != nil && ctx.Err() == nil:
				ended = true
				return nil
			case err != nil:
				return err
			case item.Tracks != nil:
				next = item.Tracks
				return nil
			case item.Unit.Track != index:
				continue
			}
			if err := write(ffmpeg.LiveUnit{PTS: item.Unit.PTS, Key: true, Data: item.Unit.Data}); err != nil {
				return err
			}
		}
	})
	if failed == nil && next == nil && !ended {
		failed = errStopped
	}
	return next, ended, failed
}

// errStopped is what a child ended by that had no reason to.
var errStopped = errors.New("it stopped by itself")

// Begin takes how the sound is coded that comes.
func (s *Sound) Begin(config []byte) error {
	if slices.Equal(s.config, config) {
		return nil
	}
	s.config = config
	s.stream.Begin([]hub.Track{{Codec: s.Codec, Clock: s.rate, Config: config, Channels: s.channel}})
	return nil
}

// Take takes a frame of sound.
func (s *Sound) Take(u ffmpeg.LiveUnit) error {
	if u.PTS < max(0, s.next) {
		return nil // before the beginning of time, or made already by the child before
	}
	s.next = u.PTS + s.rate/soundFrame
	s.stream.Write(hub.Unit{DTS: u.PTS, PTS: u.PTS, Key: true, Wall: time.Now(), Data: u.Data})
	return nil
}
