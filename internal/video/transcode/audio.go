package transcode

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"time"

	"liuyun/internal/av/aac"
	"liuyun/internal/av/mp4"
	"liuyun/internal/base/timebase"
	"liuyun/internal/engine/ffmpeg"
)

// audioTrack is one audio rendition: a track of the source in one layout.
type audioTrack struct {
	ID       string // "1-eng-stereo"
	Name     string // for people
	Language string // RFC 5646; "" unknown
	Group    string // "stereo" or "surround": renditions of a group replace each other
	Default  bool
	Source   int // stream index
	Spec     ffmpeg.AudioEncoding
	Loudness *ffmpeg.Loudness // as measured, before the gain

	encoded *mp4.Track
	path    string
}

const (
	audioFile = "audio.mp4"
	// peakCeiling is the highest true peak after a gain (EBU R 128 s1), dBTP.
	peakCeiling = -1.0
	// leastGain is the smallest change worth making, dB.
	leastGain = 0.1
)

// prepareAudio measures (where a loudness target is set) and encodes one track.
func (j *job) prepareAudio(ctx context.Context, t *audioTrack) error {
	if j.options.Loudness != nil {
		if err := j.setGain(ctx, t, *j.options.Loudness); err != nil {
			return err
		}
	}
	hash := specHash(j.tools.Class, j.fingerprint, j.tools.AudioArgs(t.Spec))
	folder, _, err := j.work.once(ctx, hash, func(scratch string) error {
		command := j.command(scratch, j.input)
		usage, err := j.tools.EncodeAudio(ctx, command, t.Spec)
		j.account(usage)
		return err
	})
	if err != nil {
		return fmt.Errorf("audio %s: %w", t.ID, err)
	}
	t.path = filepath.Join(folder, audioFile)
	if j.inventory.video == nil {
		j.progress.add(phaseEncode, 1)
	}
	if t.encoded, err = readTrack(t.path); err != nil {
		t.encoded = nil
		j.warn("no_sound", "no sound of track %d could be decoded; it is left out", t.Source)
	}
	return nil
}

// setGain brings the track to target LUFS by one gain for the whole track, so
// that its dynamics stay. Peaks that the gain would lift above the ceiling are
// limited.
func (j *job) setGain(ctx context.Context, t *audioTrack, target float64) error {
	hash := specHash(j.tools.Class, j.fingerprint, []string{"loudness 1", fmt.Sprint(t.Source)})
	name := "loudness.json"
	folder, _, err := j.work.once(ctx, hash, func(scratch string) error {
		measured, err := j.tools.MeasureLoudness(ctx, j.command(scratch, j.input), t.Source)
		if err != nil {
			return err
		}
		return writeJSON(filepath.Join(scratch, name), measured)
	})
	if err != nil {
		return fmt.Errorf("measure the loudness of audio %s: %w", t.ID, err)
	}
	var measured ffmpeg.Loudness
	if err := readJSON(filepath.Join(folder, name), &measured); err != nil {
		return err
	}
	t.Loudness = &measured
	if measured.Integrated <= -69 {
		j.warn("silent_audio", "audio %s is silent, so its loudness stays as it is", t.ID)
		return nil
	}
	if gain := target - measured.Integrated; math.Abs(gain) >= leastGain {
		t.Spec.Gain = gain
		t.Spec.Limit = measured.TruePeak+gain > peakCeiling
	}
	return nil
}

// track describes the encoded sound for the muxer.
func (t *audioTrack) track() mp4.AudioTrack {
	return mp4.AudioTrack{
		Config:     t.encoded.Config,
		Channels:   t.encoded.Channels,
		SampleRate: t.encoded.SampleRate,
		Timescale:  t.encoded.Timescale,
		Priming:    t.encoded.MediaStart,
		Language:   containerLanguage(t.Language),
		Bitrate:    t.Spec.Bitrate,
	}
}

// audioRun is one segment of sound: samples [first, end), decoded from decode
// and presented for so many ticks.
type audioRun struct {
	first, end int
	decode     int64
	presented  int64
}

// cut splits the samples at the frames nearest to boundaries, which hold the
// start and the end of the presentation. The last segment takes all that is
// left. Priming belongs to the first segment and is not presented.
func (t *audioTrack) cut(boundaries []time.Duration) []audioRun {
	const frame = aac.SamplesPerFrame
	total := len(t.encoded.Samples)
	priming := t.encoded.MediaStart
	at := func(boundary time.Duration) int {
		ticks := timebase.MulDiv(int64(boundary), int64(t.encoded.Timescale), int64(time.Second))
		return int(min(timebase.MulDiv(ticks+priming, 1, frame), int64(total)))
	}
	var runs []audioRun
	first := 0
	for i := 1; i < len(boundaries); i++ {
		end := at(boundaries[i])
		if i == len(boundaries)-1 {
			end = total
		}
		end = max(end, first)
		run := audioRun{first: first, end: end, decode: int64(first) * frame}
		for _, sample := range t.encoded.Samples[first:end] {
			run.presented += int64(sample.Duration)
		}
		if first == 0 {
			run.presented -= priming
		}
		runs = append(runs, run)
		first = end
	}
	return runs
}
