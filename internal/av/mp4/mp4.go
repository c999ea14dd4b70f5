// Package mp4 reads the MP4 files that encoders leave behind and writes what
// players are given: CMAF init segments, media segments and the fragments of
// live parts, and one progressive MP4 a rendition. It sees sample tables and
// configuration records; of a file the sample bytes stay where they are, and
// whoever calls copies them. It never touches the file system, and it does not
// read fragmented files, encrypted tracks or QuickTime's own sample
// descriptions.
//
// Boxes are those of ISO/IEC 14496-12 and 14496-15, CMAF is ISO/IEC 23000-19;
// most of them are encoded and decoded by mp4ff, which only internal/av knows.
package mp4

import (
	"fmt"

	"liuyun/internal/av/aac"
	"liuyun/internal/av/av1"
	"liuyun/internal/av/h264"
	"liuyun/internal/av/h265"
)

// Codec names what a track is coded in.
type Codec string

// The codecs.
const (
	H264 Codec = "h264" // sample entry avc1
	HEVC Codec = "hevc" // sample entry hvc1
	AV1  Codec = "av1"  // sample entry av01
	AAC  Codec = "aac"  // sample entry mp4a
	Opus Codec = "opus" // sample entry Opus
)

// CodecString returns the RFC 6381 name of a track for CODECS and codecs.
// config is what Track.Config holds for the codec.
func CodecString(codec Codec, config []byte) (string, error) {
	switch codec {
	case H264:
		return h264.CodecString(config)
	case HEVC:
		return h265.CodecString(config)
	case AV1:
		return av1.CodecString(config)
	case AAC:
		return aac.CodecString(config)
	case Opus:
		if len(config) < leastOpus || config[0] != 0 {
			return "", fmt.Errorf("dOps of %d bytes, or of another version than 0", len(config))
		}
		return "opus", nil
	}
	return "", fmt.Errorf("unknown codec %q", codec)
}

// leastOpus is the length of a dOps without a channel mapping table.
const leastOpus = 11

// Sample is one coded picture or sound frame, in decode order. Times are in
// ticks of its track. Where it is decoded is the sum of the durations before it.
type Sample struct {
	Offset            int64 // of its first byte in the file; writers of headers ignore it
	Size              uint32
	Duration          uint32
	CompositionOffset int32 // presentation time less decode time
	Sync              bool  // as the container claims: see the codec packages for the truth
}

// Track is the one media track of a file. Its slices are the caller's own.
type Track struct {
	Codec     Codec
	Timescale uint32 // ticks a second
	// Config is the payload of avcC, hvcC or av1C as it stands in the file, or
	// the AudioSpecificConfig.
	Config []byte

	Width, Height int // pixels, of the sample entry; video only

	Channels, SampleRate int // audio only

	Samples []Sample
	// MediaStart is the media time at which the edit list starts to present:
	// the samples of priming in audio, the delay of reordering in video.
	MediaStart int64
	// Delay is how long the edit list presents nothing before that, in ticks.
	Delay int64
}

// Duration is the sum of the samples' durations, in ticks.
func (t *Track) Duration() int64 { return duration(t.Samples) }

// PresentFrom moves the composition offsets so that what was presented at
// MediaStart is presented at media time start, and sets MediaStart to it.
//
// PresentFrom(0) makes the offsets of B pictures negative and an edit list
// needless. But ffmpeg 5.1 presents a fragmented track late by its most
// negative offset; with a start of at least that much no offset is negative,
// and an edit list takes the start away again for every player.
func (t *Track) PresentFrom(start int64) error {
	shift := start - t.MediaStart
	moved := make([]int32, len(t.Samples))
	for i, s := range t.Samples {
		offset := int64(s.CompositionOffset) + shift
		if offset != int64(int32(offset)) {
			return fmt.Errorf("sample %d: composition offset of %d ticks", i, offset)
		}
		moved[i] = int32(offset)
	}
	for i := range t.Samples {
		t.Samples[i].CompositionOffset = moved[i]
	}
	t.MediaStart = start
	return nil
}

func duration(samples []Sample) int64 {
	var sum int64
	for _, s := range samples {
		sum += int64(s.Duration)
	}
	return sum
}
