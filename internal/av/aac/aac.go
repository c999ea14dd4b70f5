// Package aac reads the AudioSpecificConfig of AAC tracks: ISO/IEC 14496-3,
// 1.6.2. It does not decode sound, and it leaves the bits to mp4ff.
package aac

import (
	"bytes"
	"fmt"

	"github.com/Eyevinn/mp4ff/aac"
	"github.com/Eyevinn/mp4ff/bits"
)

// SamplesPerFrame is how many samples a channel one coded frame of AAC-LC holds.
const SamplesPerFrame = 1024

// Config is what an AudioSpecificConfig says.
type Config struct {
	ObjectType int // 2 for AAC-LC, 5 for HE-AAC, 29 for HE-AAC v2
	SampleRate int // of the decoded sound, in Hz
	// Channels counts the low frequency ones too. It is 0 where only the stream
	// itself tells them.
	Channels int
}

// Parse reads an AudioSpecificConfig, and stops before what is particular to
// an object type.
func Parse(asc []byte) (Config, error) {
	header, err := aac.DecodeAudioSpecificConfigHeader(bytes.NewReader(asc))
	if err != nil {
		return Config{}, fmt.Errorf("audio specific config: %w", err)
	}
	c := Config{ObjectType: int(header.ObjectType), SampleRate: header.SamplingFrequency}
	if c.ObjectType == aac.HEAACv1 || c.ObjectType == aac.HEAACv2 {
		full, err := aac.DecodeAudioSpecificConfig(bytes.NewReader(asc))
		if err != nil {
			return Config{}, fmt.Errorf("audio specific config: %w", err)
		}
		c.SampleRate = full.ExtensionFrequency
	}
	if c.ObjectType == 0 || c.SampleRate <= 0 {
		return Config{}, fmt.Errorf("audio specific config: object type %d at %d Hz", c.ObjectType, c.SampleRate)
	}
	if header.ChannelConfiguration == 0 && c.ObjectType == aac.AAClc {
		c.Channels, err = programChannels(asc)
	} else {
		c.Channels, err = channels(header.ChannelConfiguration)
	}
	if err != nil {
		return Config{}, fmt.Errorf("audio specific config: %w", err)
	}
	return c, nil
}

// channels counts those of a channelConfiguration (ISO/IEC 14496-3, table 1.19).
func channels(configuration byte) (int, error) {
	switch {
	case configuration <= 6:
		return int(configuration), nil
	case configuration == 7, configuration == 12, configuration == 14:
		return 8, nil
	case configuration == 11:
		return 7, nil
	case configuration == 13:
		return 24, nil
	}
	return 0, fmt.Errorf("reserved channel configuration %d", configuration)
}

// programChannels counts the channels in the program config element that ends
// the config of AAC-LC in a layout without a number of its own, such as 5.1 with
// the surrounds at the sides (ISO/IEC 14496-3, 4.4.1.1).
func programChannels(asc []byte) (int, error) {
	r := bits.NewReader(bytes.NewReader(asc))
	skipHeader(r)
	r.Read(4 + 2 + 4) // element_instance_tag, object_type, sampling_frequency_index
	elements := r.Read(4) + r.Read(4) + r.Read(4)
	count := int(r.Read(2)) // low frequency channels
	r.Read(3 + 4)           // associated data, coupling channels
	for _, width := range []int{4, 4, 3} {
		if r.ReadFlag() { // a mixdown is described
			r.Read(width)
		}
	}
	for range elements { // front, side, back
		count++
		if r.ReadFlag() { // is a pair
			count++
		}
		r.Read(4) // its tag
	}
	if err := r.AccError(); err != nil {
		return 0, fmt.Errorf("program config element: %w", err)
	}
	return count, nil
}

// skipHeader skips what stands before the program config element.
func skipHeader(r *bits.Reader) {
	const explicitRate = 15
	r.Read(5) // audioObjectType
	if r.Read(4) == explicitRate {
		r.Read(24)
	}
	r.Read(4 + 1) // channelConfiguration, frameLengthFlag
	if r.ReadFlag() {
		r.Read(14) // coreCoderDelay
	}
	r.Read(1) // extensionFlag
}

// CodecString returns the RFC 6381 name of an AudioSpecificConfig: "mp4a.40.2".
func CodecString(asc []byte) (string, error) {
	c, err := Parse(asc)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("mp4a.40.%d", c.ObjectType), nil
}
