package ingest

import (
	"bytes"
	"fmt"

	"liuyun/internal/av/aac"
	"liuyun/internal/av/opus"
	"liuyun/internal/base/fault"
	"liuyun/internal/flow/hub"
)

// sounding is how the sound of a connection is coded. Its track has no codec while
// that is unknown.
type sounding struct {
	track  hub.Track
	name   string // RFC 6381
	frame  int64  // samples a frame; 0 where packets say it
	silent []byte // a frame of silence; nil where none is known
	quiet  int64  // samples of that
}

// known reports whether a configuration has come.
func (s *sounding) known() bool { return s.track.Config != nil }

// The sample rates that are taken.
const (
	slowest = 7350
	fastest = 192_000
)

// newSounding reads a configuration; nil is mono or stereo, where the codec allows it.
func newSounding(codec hub.Codec, config []byte) (sounding, error) {
	switch codec {
	case hub.AAC:
		c, err := aac.Parse(config)
		if err != nil {
			return sounding{}, fault.Wrap(err, fault.Invalid, "the encoder's AAC configuration cannot be read")
		}
		if c.SampleRate < slowest || c.SampleRate > fastest {
			return sounding{}, fault.New(fault.Invalid, "sound of %d samples a second is not taken; choose 44,100 or 48,000 Hz in the encoder", c.SampleRate)
		}
		return soundingAAC(c, config), nil
	case hub.Opus:
		c := opus.Plain(2)
		if config != nil {
			var err error
			if c, err = opus.Parse(config); err != nil {
				return sounding{}, fault.Wrap(err, fault.Invalid, "the encoder's Opus configuration cannot be read")
			}
		}
		s := sounding{
			track: hub.Track{Codec: codec, Clock: opus.Rate, Config: c.Record(), Channels: c.Channels},
			name:  "opus", silent: c.Silence(), quiet: opus.SilenceSamples,
		}
		return s, nil
	}
	return sounding{}, fault.New(fault.Invalid, "sound coded as %q is not taken; choose AAC or Opus in the encoder", codec)
}

func soundingAAC(c aac.Config, config []byte) sounding {
	s := sounding{
		track: hub.Track{Codec: hub.AAC, Clock: int64(c.SampleRate), Config: bytes.Clone(config), Channels: c.Channels},
		name:  fmt.Sprintf("mp4a.40.%d", c.ObjectType), frame: aac.SamplesPerFrame,
	}
	const plain = 2 // AAC-LC
	switch {
	case c.ObjectType != plain:
		s.frame *= 2 // of the decoded sound, whose rate is twice that of the core
	case c.Channels == 1:
		s.silent = []byte{0x00, 0xc8, 0x00, 0x80, 0x23, 0x80}
	case c.Channels == 2:
		s.silent = []byte{0x21, 0x00, 0x49, 0x90, 0x02, 0x19, 0x00, 0x23, 0x80}
	}
	s.quiet = s.frame
	return s
}

// samples is how long a frame is; 0 is none.
func (s *sounding) samples(data []byte) int64 {
	if s.frame == 0 {
		return int64(opus.Samples(data))
	}
	return s.frame
}
