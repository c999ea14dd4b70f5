package transcode

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"liuyun/internal/av/caption"
	"liuyun/internal/base/fault"
)

// SubtitleFile is a subtitle file that the user gives besides the source.
type SubtitleFile struct {
	Language string // RFC 5646
	Path     string
}

// subtitleTrack is one language of subtitles, from the source or from a file.
type subtitleTrack struct {
	ID       string // "1-eng"
	Name     string
	Language string
	Forced   bool
	Stream   int // in the source; −1 was added

	label string // of what was added, for messages
	text  []byte
	cues  *caption.Track
}

// addedSubtitles are subtitles that come besides the source.
type addedSubtitles struct {
	Language string // RFC 5646
	Name     string // for people
	Label    string // for messages
	Text     []byte // SubRip or WebVTT
}

// track is the n-th of what was added.
func (a addedSubtitles) track(n int) *subtitleTrack {
	return &subtitleTrack{
		ID: fmt.Sprintf("file%d-%s", n, cmp.Or(a.Language, "und")), Name: a.Name, Language: a.Language, Stream: -1,
		label: a.Label, text: a.Text,
	}
}

const (
	wholeName = "subtitles.vtt"
	// largestSubtitles bounds one track: ten times the longest film's.
	largestSubtitles = 16 << 20
)

// loadSubtitles reads one track onto the presentation's time.
func (j *job) loadSubtitles(ctx context.Context, t *subtitleTrack) error {
	if t.Stream < 0 {
		if err := t.loadAdded(); err != nil {
			return err
		}
	} else if err := j.extractSubtitles(ctx, t); err != nil {
		return err
	}
	if w := t.skipped(); w != (Warning{}) {
		j.warn(w.Code, "%s", w.Message)
	}
	return nil
}

// extractSubtitles reads a track of the source.
func (j *job) extractSubtitles(ctx context.Context, t *subtitleTrack) error {
	scratch, err := j.work.newScratch()
	if err != nil {
		return explainWrite(err, j.work.root)
	}
	defer os.RemoveAll(scratch)
	out := limitedBuffer{limit: largestSubtitles}
	if err := j.tools.Subtitles(ctx, j.command(scratch, j.input), t.Stream, &out); err != nil {
		return fmt.Errorf("subtitles %s: %w", t.ID, err)
	}
	track, err := parseSubtitles(t.Name, out.Bytes())
	if err != nil {
		return err
	}
	t.cues = track.Shift(-j.plan.start)
	return nil
}

// loadAdded reads a track that was added, whose times are the presentation's.
func (t *subtitleTrack) loadAdded() error {
	track, err := parseSubtitles(t.label, t.text)
	if err != nil {
		return err
	}
	t.cues, t.text = track.Shift(0), nil
	return nil
}

// skipped is what there is to say about cues that could not be used.
func (t *subtitleTrack) skipped() Warning {
	if t.cues == nil || t.cues.Skipped == 0 {
		return Warning{}
	}
	return Warning{"subtitle_cues", fmt.Sprintf("%d cues of the subtitles %s could not be used", t.cues.Skipped, t.Name)}
}

func parseSubtitles(name string, data []byte) (*caption.Track, error) {
	track, err := caption.Parse(data)
	if err != nil {
		return nil, fault.New(fault.Invalid, "%s cannot be read as subtitles: it has to be WebVTT or SubRip (.vtt, .srt)", name)
	}
	return track, nil
}

func readSubtitleFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fault.New(fault.NotFound, "there is no subtitle file %s", path)
	}
	if err == nil && (!info.Mode().IsRegular() || info.Size() > largestSubtitles) {
		return nil, fault.New(fault.Invalid, "%s is no subtitle file of at most 16 MiB", path)
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "the subtitle file %s cannot be read", path)
	}
	return os.ReadFile(path)
}

// publish writes the track as segments for HLS and as one file for DASH.
func (t *subtitleTrack) publish(root string, at []time.Duration) (subtitleEntry, error) {
	entry := subtitleEntry{subtitleTrack: t, Folder: "subtitles/" + t.ID}
	folder := filepath.Join(root, filepath.FromSlash(entry.Folder))
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return entry, err
	}
	segments, err := t.cues.Segment(at)
	if err != nil {
		return entry, fmt.Errorf("cut subtitles %s: %w", t.ID, err)
	}
	for i, segment := range segments {
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("%05d.vtt", i+1)), segment.AppendSegment(nil), 0o644); err != nil {
			return entry, err
		}
		entry.Durations = append(entry.Durations, at[i+1].Milliseconds()-at[i].Milliseconds())
	}
	whole := t.cues.AppendFile(nil)
	entry.Bytes = int64(len(whole))
	return entry, os.WriteFile(filepath.Join(folder, wholeName), whole, 0o644)
}

// limitedBuffer refuses more than limit bytes.
type limitedBuffer struct {
	bytes.Buffer
	limit int
}

// Write takes data while there is room.
func (b *limitedBuffer) Write(data []byte) (int, error) {
	if b.Len()+len(data) > b.limit {
		return 0, fmt.Errorf("more than %d bytes", b.limit)
	}
	return b.Buffer.Write(data)
}
