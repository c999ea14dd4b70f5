package window

import (
	"fmt"

	"liuyun/internal/av/aac"
	"liuyun/internal/av/mp4"
	"liuyun/internal/base/timebase"
	"liuyun/internal/flow/hub"
)

// initSection is what a decoder is set up with, and what the multivariant playlist
// says about a rendition. It stands in the journal.
type initSection struct {
	Number   int64             `json:"number"` // of the first segment that it is for
	Data     []byte            `json:"data"`
	Codec    string            `json:"codec"` // RFC 6381
	Width    int               `json:"width,omitempty"`
	Height   int               `json:"height,omitempty"`
	Rate     timebase.Rational `json:"rate,omitzero"`
	Channels int               `json:"channels,omitempty"`
	Sampling int               `json:"sampling,omitempty"` // of sound, a second
	Clock    int64             `json:"clock,omitempty"`    // ticks a second of its times
	Rung     bool              `json:"rung,omitempty"`     // it is made of the stream
	Language string            `json:"language,omitempty"`

	uri string
}

// at makes it that of the segments from a number on.
func (i *initSection) at(number int64) *initSection {
	i.Number, i.uri = number, initURI(number)
	return i
}

func initURI(number int64) string { return fmt.Sprintf("init%d.mp4", number) }

// newInit returns the init section of a track.
func newInit(t *hub.Track) (*initSection, error) {
	codec, err := codecOf(t.Codec)
	if err != nil {
		return nil, err
	}
	name, err := mp4.CodecString(codec, t.Config)
	if err != nil {
		return nil, err
	}
	i := &initSection{
		Codec: name, Width: t.Width, Height: t.Height, Rate: t.Rate, Channels: t.Channels, Language: t.Language, Clock: t.Clock,
	}
	if t.Codec.Video() {
		i.Data, err = mp4.AppendVideoInit(nil, mp4.VideoTrack{
			Codec: codec, Config: t.Config, Width: t.Width, Height: t.Height, Timescale: uint32(t.Clock),
		})
		return i, err
	}
	channels := 0
	if codec == mp4.Opus { // whose dOps CodecString has checked
		channels, i.Sampling = int(t.Config[1]), 48000
	} else {
		config, err := aac.Parse(t.Config)
		if err != nil {
			return nil, err
		}
		channels, i.Sampling = config.Channels, config.SampleRate
	}
	if i.Channels <= 0 {
		i.Channels = max(channels, 1)
	}
	i.Data, err = mp4.AppendAudioInit(nil, mp4.AudioTrack{
		Codec: codec, Config: t.Config, Channels: i.Channels, SampleRate: i.Sampling, Timescale: uint32(t.Clock), Language: t.Language,
	})
	return i, err
}

func codecOf(c hub.Codec) (mp4.Codec, error) {
	switch c {
	case hub.H264:
		return mp4.H264, nil
	case hub.H265:
		return mp4.HEVC, nil
	case hub.AV1:
		return mp4.AV1, nil
	case hub.AAC:
		return mp4.AAC, nil
	case hub.Opus:
		return mp4.Opus, nil
	}
	return "", fmt.Errorf("no way to package %s", c)
}
