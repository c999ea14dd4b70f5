package record

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"liuyun/internal/av/dash"
	"liuyun/internal/av/hls"
	"liuyun/internal/base/timebase"
	"liuyun/internal/contract/encode"
	"liuyun/internal/flow/window"
	"liuyun/internal/kit/blob"
)

// Result is a finished recording.
type Result struct {
	encode.Result
	Start, End time.Time // of day of what is in it; zero is unknown
}

const (
	masterName   = "master.m3u8"
	manifestName = "manifest.mpd"
	playlistName = "media.m3u8"
	minBuffer    = 2 * time.Second
)

// finish writes the manifests of what was copied.
func (r *Recording) finish(ctx context.Context) (*Result, error) {
	sections := make(map[section]window.Section)
	var rows []*window.Row
	err := r.read(ctx, func(c *chunk) error {
		for _, d := range c.Sections {
			sections[section{d.Rendition, d.Number}] = d.Section
		}
		rows = append(rows, c.Rows...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	p, err := assemble(sections, rows)
	if err != nil {
		return nil, err
	}
	result := p.result()
	result.Prefix = r.Folder + Media
	if lost := r.State().Lost; lost > 0 {
		result.Warnings = append(result.Warnings, encode.Warning{Code: "recording_lost", Message: fmt.Sprintf(
			"what was to be stored had left the window %d times: the store was full or away for longer than the window is", lost)})
	}
	files, err := p.files(result)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNever, err)
	}
	for _, f := range files {
		if _, err := r.Objects.Put(ctx, result.Prefix+f.name, bytes.NewReader(f.text)); err != nil {
			return nil, ofStore(err)
		}
	}
	err = r.Objects.List(ctx, result.Prefix, func(info blob.Info) error {
		result.Stored += info.Size
		return nil
	})
	return result, ofStore(err)
}

// result describes it as assets are described.
func (p *presentation) result() *Result {
	out := &Result{Start: p.lead(0).Time, End: p.lead(len(p.rows) - 1).End()}
	out.Duration = p.lasts().Seconds()
	out.Files.HLS = masterName
	target := p.target()
	for _, r := range p.renditions {
		s := r.described()
		peak, mean := r.bandwidth(target)
		if !r.picture() {
			out.Tracks = append(out.Tracks, encode.Track{
				Type: "audio", Codec: family(s.Codec), Channels: s.Channels, SampleRate: int(r.clock()), Language: s.Language,
			})
			continue
		}
		out.Tracks = append(out.Tracks, encode.Track{
			Type: "video", Codec: family(s.Codec), Width: s.Width, Height: s.Height, FrameRate: s.Rate.Float(), DynamicRange: string(hls.SDR),
		})
		out.Renditions = append(out.Renditions, encode.Rendition{
			ID: r.name, Codec: family(s.Codec), Codecs: s.Codec, Width: s.Width, Height: s.Height, FrameRate: s.Rate.Float(),
			DynamicRange: string(hls.SDR), Bandwidth: peak, AverageBandwidth: mean, Size: r.size,
		})
	}
	if count, missing := p.gaps(); count > 0 {
		out.Warnings = append(out.Warnings, encode.Warning{Code: "recording_gaps", Message: fmt.Sprintf(
			"nothing came of the stream %d times while it was recorded, for %.1f s in all: what plays goes on behind that", count, missing.Seconds())})
	}
	return out
}

// clock is the ticks a second of a rendition, 0 if it is not known.
func (r *rendition) clock() int64 {
	for _, c := range r.cells {
		if c != nil {
			return c.Clock
		}
	}
	return 0
}

// bandwidth is the peak and mean of a rendition, bits a second.
func (r *rendition) bandwidth(target time.Duration) (peak, mean int64) {
	var sizes []hls.SegmentSize
	for _, c := range r.cells {
		if c != nil {
			sizes = append(sizes, hls.SegmentSize{Duration: c.Duration, Bytes: c.Size})
		}
	}
	peak, mean = hls.Bandwidths(sizes, target)
	return max(peak, 1), max(mean, 1)
}

// file is what is written.
type file struct {
	name string
	text []byte
}

// files writes the manifests, those that name others last.
func (p *presentation) files(result *Result) (list []file, err error) {
	add := func(name string, appendTo func([]byte) ([]byte, error)) {
		if err != nil {
			return
		}
		var text []byte
		if text, err = appendTo(nil); err != nil {
			err = fmt.Errorf("%s: %w", name, err)
		}
		list = append(list, file{name, text})
	}
	target := p.target()
	for _, r := range p.renditions {
		add(r.name+"/"+playlistName, p.playlist(r, target).AppendTo)
	}
	if periods := p.periods(target); periods != nil {
		result.Files.DASH = manifestName
		add(manifestName, (&dash.Recording{MinBuffer: minBuffer, Periods: periods}).AppendTo)
	}
	add(masterName, p.multivariant(target).AppendTo)
	return list, err
}

// playlist is that of one rendition.
func (p *presentation) playlist(r *rendition, target time.Duration) *hls.LivePlaylist {
	out := &hls.LivePlaylist{Target: target, Ended: true, Segments: make([]hls.LiveSegment, len(p.rows))}
	for i, row := range p.rows {
		s := &out.Segments[i]
		s.Map, s.Discontinuity = r.inits[i].Name(), p.breaks[i]
		s.Duration, s.Time = p.cellLasts(r, i), p.lead(i).Time
		c := r.cells[i]
		if s.Gap = c == nil; s.Gap {
			s.URI = (&window.Cell{Number: row.Number}).Name()
			continue
		}
		s.URI, s.Time = c.Name(), c.Time
	}
	return out
}

// multivariant names all playlists, and of sound that in AAC, if there is some: every
// player knows it.
func (p *presentation) multivariant(target time.Duration) *hls.Multivariant {
	m := &hls.Multivariant{}
	groups := p.sounds(target)
	if i := slices.IndexFunc(groups, func(g soundGroup) bool { return family(g.codec) == "aac" }); i >= 0 {
		groups = groups[i : i+1]
	}
	for _, g := range groups {
		m.Media = append(m.Media, g.media...)
	}
	for _, r := range p.renditions {
		for _, c := range r.cells {
			m.Dependent = m.Dependent || c != nil && c.Dependent
		}
	}
	if !p.renditions[0].picture() {
		for _, g := range groups {
			m.Variants = append(m.Variants, hls.Variant{
				URI: g.media[0].URI, Bandwidth: g.peak, AverageBandwidth: g.mean, Codecs: []string{g.codec}, Audio: g.id,
			})
		}
		return m
	}
	if len(groups) == 0 {
		groups = []soundGroup{{}}
	}
	for _, g := range groups {
		for _, r := range p.renditions {
			if !r.picture() {
				continue
			}
			s := r.described()
			peak, mean := r.bandwidth(target)
			v := hls.Variant{
				URI: r.name + "/" + playlistName, Bandwidth: peak + g.peak, AverageBandwidth: mean + g.mean, Codecs: r.codecs(),
				Picture: hls.Picture{Width: s.Width, Height: s.Height, Range: hls.SDR}, FrameRate: s.Rate, Audio: g.id,
			}
			if g.codec != "" {
				v.Codecs = append(v.Codecs, g.codec)
			}
			m.Variants = append(m.Variants, v)
		}
	}
	return m
}

// codecs are all that a rendition had.
func (r *rendition) codecs() (list []string) {
	for _, s := range r.inits {
		if !slices.Contains(list, s.Codec) {
			list = append(list, s.Codec)
		}
	}
	return list
}

// soundGroup are the renditions of sound in one codec.
type soundGroup struct {
	id, codec  string
	media      []hls.Media
	peak, mean int64 // of the largest
}

func (p *presentation) sounds(target time.Duration) (groups []soundGroup) {
	for _, r := range p.renditions {
		if r.picture() {
			continue
		}
		s := r.described()
		id := "audio-" + family(s.Codec)
		i := slices.IndexFunc(groups, func(g soundGroup) bool { return g.id == id })
		if i < 0 {
			i = len(groups)
			groups = append(groups, soundGroup{id: id, codec: s.Codec})
		}
		g := &groups[i]
		name := r.name
		if s.Language != "" {
			name += " " + s.Language
		}
		peak, mean := r.bandwidth(target)
		g.peak, g.mean = max(g.peak, peak), max(g.mean, mean)
		g.media = append(g.media, hls.Media{
			Type: hls.Audio, Group: id, Name: hls.Printable(name), Language: s.Language, Channels: s.Channels,
			Default: len(g.media) == 0, Autoselect: true, URI: r.name + "/" + playlistName,
		})
	}
	return groups
}

// periods are the stretches of the DASH manifest: over each all renditions that are in
// it go on without a gap. There is none where the timeline is not known.
func (p *presentation) periods(target time.Duration) (list []dash.Period) {
	from := 0
	for i := 1; i <= len(p.rows); i++ {
		if i < len(p.rows) && !p.breaks[i] && p.same(i-1, i) {
			continue
		}
		period, ok := p.period(from, i, target)
		if !ok {
			return nil
		}
		list = append(list, period)
		from = i
	}
	return list
}

// same reports whether the same renditions are in both rows.
func (p *presentation) same(a, b int) bool {
	for _, r := range p.renditions {
		if (r.cells[a] == nil) != (r.cells[b] == nil) {
			return false
		}
	}
	return true
}

func (p *presentation) period(from, to int, target time.Duration) (out dash.Period, ok bool) {
	for i := from; i < to; i++ {
		out.Duration += p.lead(i).Duration
	}
	lead := p.lead(from)
	for _, r := range p.renditions {
		first := r.cells[from]
		if first == nil {
			continue
		}
		if first.Clock <= 0 || lead.Clock <= 0 {
			return out, false
		}
		s, peak := r.inits[from], int64(0)
		peak, _ = r.bandwidth(target)
		segments := dash.Segments{
			Init: r.name + "/" + s.Name(), Media: r.name + "/$Number$.m4s", Timescale: first.Clock,
			First: first.Number, Start: max(first.Begin, first.Start), Offset: timebase.MulDiv(max(lead.Begin, lead.Start), first.Clock, lead.Clock),
			Durations: ticksOf(r.cells[from:to]),
		}
		if !r.picture() {
			out.Audio = append(out.Audio, dash.AudioSet{
				Lang: s.Language, Role: dash.Main, Label: r.name, Channels: s.Channels, SampleRate: int(first.Clock),
				Rungs: []dash.AudioRung{{ID: r.name, Bandwidth: peak, Codec: s.Codec, Segments: segments}},
			})
			continue
		}
		rung := dash.VideoRung{ID: r.name, Bandwidth: peak, Codec: s.Codec, Width: s.Width, Height: s.Height, FrameRate: s.Rate, Segments: segments}
		i := slices.IndexFunc(out.Video, func(set dash.VideoSet) bool {
			with := set.Rungs[0]
			return family(with.Codec) == family(s.Codec) && with.Segments.Timescale == segments.Timescale &&
				slices.Equal(with.Segments.Durations, segments.Durations)
		})
		if i < 0 {
			out.Video = append(out.Video, dash.VideoSet{Rungs: []dash.VideoRung{rung}})
		} else {
			out.Video[i].Rungs = append(out.Video[i].Rungs, rung)
		}
	}
	return out, true
}

// ticksOf are the exact durations of cells that follow each other.
func ticksOf(cells []*window.Cell) []int64 {
	list := make([]int64, len(cells))
	for i, c := range cells {
		list[i] = max(timebase.MulDiv(int64(c.Duration), c.Clock, int64(time.Second)), 1)
		if i+1 < len(cells) && cells[i+1].Start > c.Start {
			list[i] = cells[i+1].Start - c.Start
		}
	}
	return list
}
