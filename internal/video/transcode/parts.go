package transcode

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"time"

	"liuyun/internal/contract/encode"
)

// parts describe a result so far that its manifests can be written anew, with
// other subtitles added, from nothing else: no source, no units. They lie beside
// the report of what the queue made.
type parts struct {
	Version int `json:"version"` // of this document: 1
	// What the result's name follows from, without what was added.
	Class   string         `json:"class"`
	Source  string         `json:"source"` // fingerprint
	Spec    []string       `json:"spec"`
	Options encode.Options `json:"options"`

	Target    time.Duration   `json:"target"`
	Duration  time.Duration   `json:"duration"`
	Times     []time.Duration `json:"times"`
	Video     []videoPart     `json:"video"`
	Audio     []audioPart     `json:"audio"`
	Subtitles []subtitlePart  `json:"subtitles"` // of the source
	Board     *storyboard     `json:"board,omitempty"`
	Report    *Report         `json:"report"` // without what was added
}

type videoPart struct {
	Rendition *rendition `json:"rendition"`
	Media     *muxed     `json:"media"`
	MP4       string     `json:"mp4,omitempty"`
}

type audioPart struct {
	Track *audioTrack `json:"track"`
	Media *muxed      `json:"media"`
}

type subtitlePart struct {
	Track     *subtitleTrack `json:"track"`
	Folder    string         `json:"folder"`
	Durations []int64        `json:"durations"`
	Bytes     int64          `json:"bytes"`
}

const (
	partsName    = "parts.json"
	partsVersion = 1
)

// parts describes what was packaged.
func (j *job) parts(p *presentation, report *Report) *parts {
	out := &parts{
		Version: partsVersion, Class: j.tools.Class, Source: j.fingerprint, Spec: j.spec, Options: *j.asked,
		Target: p.Target, Duration: p.Duration, Times: p.Times, Board: p.Board,
	}
	for _, v := range p.Video {
		out.Video = append(out.Video, videoPart{v.rendition, v.Media, v.MP4})
	}
	for _, a := range p.Audio {
		out.Audio = append(out.Audio, audioPart{a.audioTrack, a.Media})
	}
	base := *report
	base.Job, base.Run, base.Subtitles = "", nil, []SubtitleReport{}
	for _, s := range p.Subtitles {
		if s.Stream < 0 {
			base.Warnings = slices.DeleteFunc(slices.Clone(base.Warnings), func(w Warning) bool { return w == s.skipped() })
			continue
		}
		out.Subtitles = append(out.Subtitles, subtitlePart{s.subtitleTrack, s.Folder, s.Durations, s.Bytes})
		base.Subtitles = append(base.Subtitles, s.report())
	}
	out.Report = &base
	return out
}

// write writes the parts into stage, all in one line: they are numbers for us.
func (p *parts) write(stage string) error {
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(stage, partsName), data)
}

// presentation is what the parts describe.
func (p *parts) presentation() *presentation {
	out := &presentation{Target: p.Target, Duration: p.Duration, Times: p.Times, Board: p.Board}
	for _, v := range p.Video {
		out.Video = append(out.Video, videoTrack{rendition: v.Rendition, Media: v.Media, MP4: v.MP4})
	}
	for _, a := range p.Audio {
		out.Audio = append(out.Audio, audioEntry{audioTrack: a.Track, Media: a.Media})
	}
	for _, s := range p.Subtitles {
		out.Subtitles = append(out.Subtitles, subtitleEntry{subtitleTrack: s.Track, Folder: s.Folder, Durations: s.Durations, Bytes: s.Bytes})
	}
	return out
}

// whole reports whether the parts are what writing manifests needs: they were
// read from a file.
func (p *parts) whole() bool {
	return p.Version == partsVersion && p.Report != nil && len(p.Spec) > 0 && len(p.Times) > 1 &&
		!slices.ContainsFunc(p.Video, func(v videoPart) bool { return v.Rendition == nil || v.Media == nil }) &&
		!slices.ContainsFunc(p.Audio, func(a audioPart) bool { return a.Track == nil || a.Media == nil }) &&
		!slices.ContainsFunc(p.Subtitles, func(s subtitlePart) bool { return s.Track == nil })
}

// streamKey names the result of a job with subtitles added.
func streamKey(class, source string, spec []string, added []addedSubtitles) string {
	spec = slices.Clone(spec)
	for _, a := range added {
		spec = append(spec, a.Language, a.Name, string(a.Text))
	}
	return specHash(class, source, spec)
}

// subtitle replaces what was added to the result in stage, whose parts p are, by
// other subtitles. Files in stage are replaced and never written to: they may be
// those of the earlier result.
func (p *parts) subtitle(ctx context.Context, stage string, added []addedSubtitles) (*Report, error) {
	out := p.presentation()
	if err := p.removeAdded(stage); err != nil {
		return nil, err
	}
	report := *p.Report
	report.Job = streamKey(p.Class, p.Source, p.Spec, added)
	report.Warnings, report.Subtitles = slices.Clone(report.Warnings), slices.Clone(report.Subtitles)
	var audio []*audioTrack
	var tracks []*subtitleTrack
	for _, a := range p.Audio {
		audio = append(audio, a.Track)
	}
	for _, s := range p.Subtitles {
		tracks = append(tracks, s.Track)
	}
	for i, a := range added {
		tracks = append(tracks, a.track(i+1))
	}
	uniqueNames(audio, tracks)
	for _, t := range tracks[len(p.Subtitles):] {
		if err := t.loadAdded(); err != nil {
			return nil, err
		}
		entry, err := t.publish(stage, p.Times)
		if err != nil {
			return nil, err
		}
		if err := out.writeSubtitles(stage, entry); err != nil {
			return nil, err
		}
		out.Subtitles = append(out.Subtitles, entry)
		report.Subtitles = append(report.Subtitles, entry.report())
		if w := t.skipped(); w != (Warning{}) && !slices.Contains(report.Warnings, w) {
			report.Warnings = append(report.Warnings, w)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	slices.SortFunc(report.Warnings, compareWarnings)
	if err := out.writeManifests(stage); err != nil {
		return nil, err
	}
	return &report, writeJSON(filepath.Join(stage, reportName), report)
}

// removeAdded removes from stage what does not come from the source.
func (p *parts) removeAdded(stage string) error {
	folder := filepath.Join(stage, "subtitles")
	entries, err := os.ReadDir(folder)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	left := 0
	for _, entry := range entries {
		if slices.ContainsFunc(p.Subtitles, func(s subtitlePart) bool { return s.Folder == "subtitles/"+entry.Name() }) {
			left++
			continue
		}
		if err := os.RemoveAll(filepath.Join(folder, entry.Name())); err != nil {
			return err
		}
	}
	if left == 0 {
		return os.RemoveAll(folder)
	}
	return nil
}
