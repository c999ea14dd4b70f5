package transcode

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"liuyun/internal/av/dash"
	"liuyun/internal/av/hls"
	"liuyun/internal/av/mp4"
)

// sink is where a result goes.
type sink interface {
	// publish takes the files of the staging folder, all or none as far as a
	// player sees: manifests after segments, the report last.
	publish(ctx context.Context, stage string) error
}

// publish packages what was made into a staging folder and gives it to the sink.
func (j *job) publish(ctx context.Context, m *made) (*Report, error) {
	stage := j.work.staged()
	if err := emptyFolder(stage); err != nil {
		return nil, err
	}
	p := &presentation{
		Target:   time.Duration(j.plan.target) * time.Second,
		Duration: j.plan.duration(),
		Times:    boundaries(j.plan.layout.Segments, j.plan.layout.End, j.plan.timeline.FrameRate),
	}
	if err := j.work.checkRoom(j.packageSize(m)); err != nil {
		return nil, err
	}
	if err := j.packageTracks(ctx, stage, p, m); err != nil {
		return nil, err
	}
	if err := p.writePlaylists(stage); err != nil {
		return nil, err
	}
	if err := p.writeManifests(stage); err != nil {
		return nil, err
	}
	if err := j.packageExtras(stage, m); err != nil {
		return nil, err
	}
	report := j.report(p, m)
	if j.asked != nil {
		if err := j.parts(p, report).write(stage); err != nil {
			return nil, err
		}
	}
	if err := writeJSON(filepath.Join(stage, reportName), report); err != nil {
		return nil, err
	}
	if err := j.sink.publish(ctx, stage); err != nil {
		return nil, err
	}
	report.Run = &RunReport{CPU: j.cpu.Seconds(), UnitsCPU: j.unitsCPU.Seconds(), MeasureCPU: j.measured.Seconds(), TriesCPU: j.tries.Seconds(), Units: m.units, Reused: m.reused, Retried: j.retries}
	return report, nil
}

// packageSize is about how many bytes a result has.
func (j *job) packageSize(m *made) int64 {
	var size int64
	add := func(samples []mp4.Sample) {
		for _, s := range samples {
			size += int64(s.Size)
		}
	}
	for _, a := range m.video {
		for _, p := range a.pieces {
			add(p.samples)
		}
	}
	for _, t := range m.audio {
		add(t.encoded.Samples)
	}
	if j.options.MP4 {
		size *= 2
	}
	if j.options.KeepOriginal {
		size += j.source.Size()
	}
	return size
}

// packageTracks writes the segments of every track.
func (j *job) packageTracks(ctx context.Context, stage string, p *presentation, m *made) error {
	cuts, count := j.plan.layout.Segments, j.plan.layout.End
	j.progress.begin(phasePackage, float64(len(m.video)+len(m.audio)), p.Duration)
	for _, a := range m.video {
		media, err := a.mux(stage, "video/"+a.ID, cuts, count)
		if err != nil {
			return err
		}
		track := videoTrack{rendition: a.rendition, Media: media, ShotBytes: a.shotBytes(j.plan.shots)}
		if j.options.MP4 {
			track.MP4 = "mp4/" + a.ID + ".mp4"
			if err := a.writeMP4(filepath.Join(stage, track.MP4), m.audio); err != nil {
				return err
			}
		}
		p.Video = append(p.Video, track)
		j.progress.add(phasePackage, 1)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	for _, t := range m.audio {
		media, err := t.mux(stage, p.Times)
		if err != nil {
			return err
		}
		p.Audio = append(p.Audio, audioEntry{audioTrack: t, Media: media})
		j.progress.add(phasePackage, 1)
	}
	for _, t := range m.subtitles {
		entry, err := t.publish(stage, p.Times)
		if err != nil {
			return err
		}
		p.Subtitles = append(p.Subtitles, entry)
	}
	if b := j.plan.board; b != nil && j.analysis.Sheets > 0 {
		if err := b.publish(stage, j.analysis.folder, p.Duration); err != nil {
			return err
		}
		p.Board = b
	}
	return nil
}

// packageExtras adds the poster and, where asked for, the source itself.
func (j *job) packageExtras(stage string, m *made) error {
	if m.poster != "" {
		data, err := os.ReadFile(m.poster)
		if err == nil {
			err = writeFile(filepath.Join(stage, posterName), data)
		}
		if err != nil {
			return err
		}
	}
	if !j.options.KeepOriginal {
		return nil
	}
	path := filepath.Join(stage, originalName(j.source))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.Copy(file, io.NewSectionReader(j.source, 0, j.source.Size()))
	return err
}

func originalName(s Source) string { return "original/" + s.Name() }

// publish moves everything from the staging folder, made durable, to the output
// folder. What an earlier job left under the same names is removed first.
func (w *workdir) publish(_ context.Context, stage string) error {
	if err := syncTree(stage); err != nil {
		return err
	}
	last := []string{masterName, manifestName, reportName}
	if err := os.Remove(filepath.Join(w.root, reportName)); err != nil && !os.IsNotExist(err) {
		return err
	}
	for _, name := range outputNames {
		if err := os.RemoveAll(filepath.Join(w.root, name)); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(stage)
	if err != nil {
		return err
	}
	var names []string
	for _, entry := range entries {
		if !slices.Contains(last, entry.Name()) {
			names = append(names, entry.Name())
		}
	}
	for _, name := range append(names, last...) {
		if err := os.Rename(filepath.Join(stage, name), filepath.Join(w.root, name)); err != nil {
			return err
		}
	}
	return syncPath(w.root)
}

// outputNames are all entries of an output folder.
var outputNames = [...]string{
	masterName, manifestName, posterName, boardName, boardFolder, "video", "audio", "subtitles", "mp4", "original",
}

// report says what was made.
func (j *job) report(p *presentation, m *made) *Report {
	r := &Report{
		Version: 1, Job: j.key, Class: j.tools.Class,
		Source: j.sourceReport(), Plan: j.planReport(),
		Tried: j.plan.tried, Renditions: []RenditionReport{}, Audio: []AudioReport{}, Subtitles: []SubtitleReport{},
		Playback: PlaybackReport{HLS: masterName, DASH: manifestName},
		Warnings: append([]Warning{}, j.warnings...),
	}
	slices.SortFunc(r.Warnings, compareWarnings)
	if j.analysis != nil {
		r.Content = j.analysis.Described
	}
	for _, v := range p.Video {
		peak, mean := v.Media.bandwidth(p.Target)
		r.Renditions = append(r.Renditions, RenditionReport{
			ID: v.ID, Codec: v.Codec, Codecs: v.Media.Codecs, Width: v.Rung.Width, Height: v.Rung.Height,
			FrameRate: v.FrameRate.Float(), Range: string(v.videoRange()), Quality: v.Template.Quality, Cap: v.Template.MaxRate,
			Peak: peak, Mean: mean, Bytes: v.Media.Bytes, Recoded: m.recoded[v.ID], Search: v.search, Forecast: v.Forecast,
			Playlist: v.Media.Folder + "/" + mediaName, IFrameList: v.Media.Folder + "/" + iframesName, MP4: v.MP4, ShotBytes: v.ShotBytes,
		})
		r.Bytes += v.Media.Bytes
	}
	for _, a := range p.Audio {
		peak, mean := a.Media.bandwidth(p.Target)
		r.Audio = append(r.Audio, AudioReport{
			ID: a.ID, Name: a.Name, Language: a.Language, Channels: a.Spec.Channels, Rate: a.Spec.Rate, Codecs: a.Media.Codecs,
			Peak: peak, Mean: mean, Gain: a.Spec.Gain, Limited: a.Spec.Limit, Bytes: a.Media.Bytes,
			Playlist: a.Media.Folder + "/" + mediaName,
		})
		r.Bytes += a.Media.Bytes
	}
	for _, s := range p.Subtitles {
		r.Subtitles = append(r.Subtitles, s.report())
	}
	if len(p.Video) > 0 {
		r.Playback.Poster = posterName
	}
	if p.Board != nil {
		r.Playback.Storyboard = boardName
	}
	if j.options.KeepOriginal {
		r.Playback.Original = originalName(j.source)
	}
	return r
}

func (s subtitleEntry) report() SubtitleReport {
	return SubtitleReport{
		ID: s.ID, Name: s.Name, Language: s.Language, Cues: len(s.cues.Cues),
		Playlist: s.Folder + "/" + mediaName, File: s.Folder + "/" + wholeName,
	}
}

func compareWarnings(a, b Warning) int {
	if a.Code != b.Code {
		if a.Code < b.Code {
			return -1
		}
		return 1
	}
	if a.Message < b.Message {
		return -1
	}
	return 1
}

// track describes a rendition for the muxer.
func (a *assembled) track() mp4.VideoTrack {
	c := a.cicp()
	track := mp4.VideoTrack{
		Codec: a.codec(), Config: a.config, Width: a.Rung.Width, Height: a.Rung.Height, Timescale: uint32(a.timescale), MediaStart: a.delay,
		Colour: &mp4.Colour{Primaries: uint16(c.Primaries), Transfer: uint16(c.Transfer), Matrix: uint16(c.Matrix)},
	}
	light := a.Template.Light
	if light == nil {
		return track
	}
	if m := light.Mastering; m != nil {
		point := func(p [2]int) mp4.Chromaticity { return mp4.Chromaticity{X: uint16(p[0]), Y: uint16(p[1])} }
		track.Mastering = &mp4.Mastering{
			Red: point(m.Red), Green: point(m.Green), Blue: point(m.Blue), White: point(m.White),
			MaxLuminance: uint32(m.MaxLuminance), MinLuminance: uint32(m.MinLuminance),
		}
	}
	if light.MaxCLL > 0 {
		track.ContentLight = &mp4.ContentLight{MaxContent: uint16(light.MaxCLL), MaxFrameAverage: uint16(light.MaxFALL)}
	}
	return track
}

func (r *rendition) codec() mp4.Codec { return mp4.Codec(r.Codec) }

// videoRange is the dynamic range of a rendition.
func (r *rendition) videoRange() hls.VideoRange {
	switch r.Template.Colour.Transfer {
	case "smpte2084":
		return hls.PQ
	case "arib-std-b67":
		return hls.HLG
	}
	return hls.SDR
}

// cicp is the colour in the code points of ITU-T H.273.
func (r *rendition) cicp() dash.Color {
	c := r.Template.Colour
	primaries, transfer, matrix := c.Codes()
	return dash.Color{Primaries: primaries, Transfer: transfer, Matrix: matrix}
}

// duration is how long the presentation is.
func (p *plan) duration() time.Duration {
	at := boundaries(nil, p.layout.End, p.timeline.FrameRate)
	return at[len(at)-1]
}
