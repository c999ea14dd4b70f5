package transcode

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"liuyun/internal/av/av1"
	"liuyun/internal/av/h264"
	"liuyun/internal/av/h265"
	"liuyun/internal/av/mp4"
	"liuyun/internal/av/rate"
	"liuyun/internal/base/timebase"
	"liuyun/internal/engine/ffmpeg"
)

// rendition is one rung in one codec.
type rendition struct {
	ID         string // "h264-720p"
	Codec      string
	Rung       rate.Rung
	Template   ffmpeg.Output // without File-specific fields of a unit
	FrameRate  timebase.Rational
	Forecast   *Forecast          // nil where nothing was tried
	treatments map[int]*treatment // of the unit that begins at a frame; nil: Template's quality
	made       map[int]*attempt   // units that the search has made already, by the same
	search     *SearchReport      // how the treatments were found; nil where another rung's were taken
}

// assembled is a rendition whose units are all there, put end to end.
type assembled struct {
	*rendition
	config    []byte
	timescale int64
	duration  int64 // of one frame, ticks
	delay     int64 // of every first picture behind its decoding, ticks: what reordering needs at most
	pieces    []piece
}

// piece is one unit's part of a rendition.
type piece struct {
	path    string
	first   int          // first frame, at the rendition's rate
	samples []mp4.Sample // composition offsets are for the rendition's delay
}

// assemble reads the sample tables of a rendition's unit files, in order. All
// have to need the same decoder configuration.
func (r *rendition) assemble(units []ffmpeg.Unit, files []string) (*assembled, error) {
	a := &assembled{rendition: r}
	for i, path := range files {
		track, err := readTrack(path)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", filepath.Base(path), err)
		}
		if track.Codec == mp4.AV1 {
			if err := configFromStream(path, track); err != nil {
				return nil, fmt.Errorf("unit %d of %s: %w", i, r.ID, err)
			}
		}
		if track.Codec == mp4.H264 {
			// What the encoder was told may be higher, see ffmpeg.Output.
			if track.Config, err = h264.WithLevel(track.Config, r.Template.Level); err != nil {
				return nil, fmt.Errorf("unit %d of %s: %w", i, r.ID, err)
			}
		}
		if i == 0 {
			a.config, a.timescale, a.duration = track.Config, int64(track.Timescale), int64(track.Samples[0].Duration)
		}
		if !sameConfig(track.Codec, a.config, track.Config) {
			return nil, fmt.Errorf("unit %d of %s needs a different decoder configuration", i, r.ID)
		}
		if int64(track.Timescale) != a.timescale {
			return nil, fmt.Errorf("unit %d of %s has timescale %d, the others %d", i, r.ID, track.Timescale, a.timescale)
		}
		order, err := presentationOrder(track)
		if err != nil {
			return nil, fmt.Errorf("unit %d of %s: %w", i, r.ID, err)
		}
		for k := range track.Samples {
			track.Samples[k].CompositionOffset = int32(int64(order[k]-k) * a.duration)
			track.Samples[k].Duration = uint32(a.duration)
		}
		a.pieces = append(a.pieces, piece{path: path, first: int(units[i].First) / r.Rung.Step, samples: track.Samples})
	}
	a.addDelay()
	return a, nil
}

// addDelay makes all composition offsets positive by the same amount, which an
// edit list takes back: signed offsets alone would do, but ffmpeg before 6
// presents such tracks late.
func (a *assembled) addDelay() {
	for _, p := range a.pieces {
		for _, sample := range p.samples {
			a.delay = max(a.delay, -int64(sample.CompositionOffset))
		}
	}
	for _, p := range a.pieces {
		for k := range p.samples {
			p.samples[k].CompositionOffset += int32(a.delay)
		}
	}
}

// configFromStream replaces the configuration record by the one that the first
// picture carries: SVT-AV1 1.4 writes a record that its own pictures contradict.
func configFromStream(path string, track *mp4.Track) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	first := make([]byte, track.Samples[0].Size)
	if _, err := file.ReadAt(first, track.Samples[0].Offset); err != nil {
		return fmt.Errorf("read the first picture: %w", err)
	}
	track.Config, err = av1.ConfigFromSample(first)
	return err
}

func readTrack(path string) (*mp4.Track, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	track, err := mp4.ReadTrack(file, info.Size())
	if err != nil {
		return nil, err
	}
	if len(track.Samples) == 0 {
		return nil, errors.New("no samples")
	}
	return track, nil
}

func sameConfig(codec mp4.Codec, a, b []byte) bool {
	switch codec {
	case mp4.H264:
		return h264.SameConfig(a, b)
	case mp4.HEVC:
		return h265.SameConfig(a, b)
	case mp4.AV1:
		return av1.SameConfig(a, b)
	}
	return bytes.Equal(a, b)
}

// shotBytes is what each shot was given. shots are the first frames of all but the
// first, in frames of the timeline.
func (a *assembled) shotBytes(shots []int) []int64 {
	bytes := make([]int64, len(shots)+1)
	for _, p := range a.pieces {
		for k, sample := range p.samples {
			shown := p.first + k + int((int64(sample.CompositionOffset)-a.delay)/a.duration)
			n, found := slices.BinarySearch(shots, shown*a.Rung.Step)
			if found {
				n++
			}
			bytes[n] += int64(sample.Size)
		}
	}
	return bytes
}

// bucket is what a receiver needs to play the assembled rendition at its cap:
// two encoder buffers, since each unit begins with its own.
func (r *rendition) bucket() rate.Bucket {
	return rate.Bucket{Rate: r.Template.MaxRate, Size: 2 * r.Template.Buffer, Start: 0.9}
}

// broken returns which pieces hold pictures that come too late for the cap,
// each with the number of bits that were missing.
func (a *assembled) broken() map[int]int64 {
	var pictures []rate.Picture
	var owner []int
	frame := time.Duration(a.duration * int64(time.Second) / a.timescale)
	for i, p := range a.pieces {
		for _, sample := range p.samples {
			pictures = append(pictures, rate.Picture{Bits: int64(sample.Size) * 8, Duration: frame})
			owner = append(owner, i)
		}
	}
	found := make(map[int]int64)
	for _, overflow := range a.bucket().Check(pictures) {
		i := owner[overflow.Picture]
		found[i] = max(found[i], overflow.Missing)
	}
	return found
}
