package ffmpeg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"liuyun/internal/base/timebase"
)

// AudioEncoding is one audio rendition, encoded for the whole file by one process.
type AudioEncoding struct {
	Stream   int               `json:"stream"`
	TimeBase timebase.Rational `json:"time_base"`
	// Origin is the source time of the presentation's start in microseconds:
	// sound before it is cut, silence fills up to it.
	Origin   int64         `json:"origin"`
	Duration time.Duration `json:"duration"` // silence fills up to it; what is beyond is cut; 0 leaves the end
	Rate     int           `json:"rate"`     // Hz
	Channels int           `json:"channels"`
	Layout   string        `json:"layout"` // of the output, ffmpeg's name
	Bitrate  int           `json:"bitrate"`
	Gain     float64       `json:"gain"` // dB; 0 leaves the level
	Limit    bool          `json:"limit"`
	// Limit holds true peaks at −1 dBTP: needed when Gain lifts them above.

	File string `json:"file"`
}

// filters put the sound on the timeline to the sample. Timestamps only move
// sound where they jump by over 0.1 s: jitter below is rounding of the
// container, and following it would click.
func (a AudioEncoding) filters() string {
	list := []string{
		fmt.Sprintf("asetpts=PTS-(%s)/TB", seconds(a.Origin, timebase.R(1, 1_000_000))),
		fmt.Sprintf("aresample=osr=%d:async=1:min_hard_comp=0.1:first_pts=0", a.Rate),
		"aformat=sample_fmts=fltp:channel_layouts=" + a.Layout,
	}
	if a.Gain != 0 {
		list = append(list, "volume="+strconv.FormatFloat(a.Gain, 'f', 2, 64)+"dB:precision=float")
	}
	if a.Limit {
		list = append(list, "aresample=192000", "alimiter=limit=0.8414:level=0:attack=1:release=50", fmt.Sprintf("aresample=%d", a.Rate))
	}
	if a.Duration > 0 {
		samples := timebase.MulDiv(int64(a.Duration), int64(a.Rate), int64(time.Second))
		list = append(list, fmt.Sprintf("apad=whole_len=%d", samples), fmt.Sprintf("atrim=end_sample=%d", samples))
	}
	return strings.Join(append(list, "asetpts=N"), ",")
}

// EncodeAudio runs the process that encodes a; its output is in run.Dir then.
func (t *Tools) EncodeAudio(ctx context.Context, run Command, a AudioEncoding) (Usage, error) {
	run.Args = t.AudioArgs(a)
	return t.Run(ctx, run)
}

// AudioArgs are the arguments of the process that encodes a.
func (t *Tools) AudioArgs(a AudioEncoding) []string {
	return []string{
		"-copyts", "-threads", "1", "-i", InputURL,
		"-map", "0:" + strconv.Itoa(a.Stream), "-vn", "-sn", "-dn", "-af", a.filters(),
		"-c:a", "aac", "-b:a", strconv.Itoa(a.Bitrate), "-ar", strconv.Itoa(a.Rate),
		"-flags:a", "+bitexact", "-fflags", "+bitexact", "-map_metadata", "-1", "-f", "mp4", a.File,
	}
}

// Loudness is a measurement by ITU-R BS.1770-4 as EBU R128 uses it.
type Loudness struct {
	Integrated float64 `json:"integrated_lufs"` // LUFS; −70 where everything is below the gate
	TruePeak   float64 `json:"true_peak_dbtp"`  // dBTP
	Range      float64 `json:"range_lu"`        // LU
}

// MeasureLoudness decodes one audio stream and measures it.
func (t *Tools) MeasureLoudness(ctx context.Context, run Command, stream int) (Loudness, error) {
	meter := loudnessMeter{found: Loudness{Integrated: silence, TruePeak: silence}}
	run.Args = []string{
		"-threads", "1", "-i", InputURL, "-map", "0:" + strconv.Itoa(stream), "-vn", "-sn", "-dn",
		// The colon of the pipe's name is escaped twice: for the graph, for the option.
		"-af", "ebur128=peak=true:framelog=verbose:metadata=1,ametadata=mode=print:file=" + strings.ReplaceAll(PipeURL(0), ":", `\\:`),
		"-f", "null", "-",
	}
	run.Pipes = []io.Writer{&meter}
	if _, err := t.Run(ctx, run); err != nil {
		return Loudness{}, err
	}
	return meter.found, nil
}

// silence is what BS.1770 meters show below their absolute gate, LUFS.
const silence = -70

// loudnessMeter reads ametadata's lines "lavfi.r128.I=-10.000", which come ten
// times a second, and keeps the last of each.
type loudnessMeter struct {
	found   Loudness
	partial []byte
}

// Write takes any piece of the text.
func (m *loudnessMeter) Write(text []byte) (int, error) {
	size := len(text)
	for {
		line, rest, ok := bytes.Cut(text, []byte{'\n'})
		if !ok {
			m.partial = append(m.partial, line...)
			if len(m.partial) > 4096 {
				return 0, errors.New("loudness: a line without end")
			}
			return size, nil
		}
		if len(m.partial) > 0 {
			line = append(m.partial, line...)
			m.partial = m.partial[:0]
		}
		m.take(string(line))
		text = rest
	}
}

func (m *loudnessMeter) take(line string) {
	key, value, ok := strings.Cut(line, "=")
	if !ok {
		return
	}
	number, err := strconv.ParseFloat(value, 64)
	if err != nil || math.IsNaN(number) {
		return
	}
	switch {
	case key == "lavfi.r128.I":
		m.found.Integrated = max(number, silence)
	case key == "lavfi.r128.LRA":
		m.found.Range = number
	case strings.HasPrefix(key, "lavfi.r128.true_peaks_ch"):
		if number > 0 { // linear, 1 is full scale
			m.found.TruePeak = max(m.found.TruePeak, 20*math.Log10(number))
		}
	}
}
