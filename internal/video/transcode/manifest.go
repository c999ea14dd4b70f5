package transcode

import (
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"liuyun/internal/av/dash"
	"liuyun/internal/av/hls"
	"liuyun/internal/base/timebase"
)

// presentation is everything that has been muxed, ready to be named by
// manifests.
type presentation struct {
	Target    time.Duration
	Duration  time.Duration
	Times     []time.Duration // at which segments begin, and the end
	Video     []videoTrack
	Audio     []audioEntry
	Subtitles []subtitleEntry
	Board     *storyboard
}

type videoTrack struct {
	*rendition
	Media *muxed
	MP4   string
	// ShotBytes is what each shot was given.
	ShotBytes []int64
}

type audioEntry struct {
	*audioTrack
	Media *muxed
}

type subtitleEntry struct {
	*subtitleTrack
	Folder    string
	Durations []int64 // milliseconds
	Bytes     int64
}

const (
	masterName   = "master.m3u8"
	manifestName = "manifest.mpd"
	subtitlesID  = "subtitles"
	minBuffer    = 2 * time.Second
)

// bandwidth is the declared peak and mean of a track, bits a second.
func (m *muxed) bandwidth(target time.Duration) (peak, mean int64) {
	return hls.Bandwidths(m.Sizes, target)
}

// writePlaylists writes every media playlist below root.
func (p *presentation) writePlaylists(root string) error {
	for _, v := range p.Video {
		if err := p.writeMedia(root, v.Media, hls.Fragments, mediaName); err != nil {
			return err
		}
		if err := p.writeMedia(root, v.Media, hls.IFrames, iframesName); err != nil {
			return err
		}
	}
	for _, a := range p.Audio {
		if err := p.writeMedia(root, a.Media, hls.Fragments, mediaName); err != nil {
			return err
		}
	}
	for _, s := range p.Subtitles {
		if err := p.writeSubtitles(root, s); err != nil {
			return err
		}
	}
	return nil
}

func (p *presentation) writeSubtitles(root string, s subtitleEntry) error {
	list := hls.MediaPlaylist{Kind: hls.WebVTT, Target: p.Target, Timescale: 1000}
	for i, duration := range s.Durations {
		list.Segments = append(list.Segments, hls.Segment{URI: fmt.Sprintf("%05d.vtt", i+1), Duration: duration})
	}
	return writeText(filepath.Join(root, s.Folder, mediaName), list.AppendTo)
}

// writeManifests writes what names all tracks.
func (p *presentation) writeManifests(root string) error {
	if err := writeText(filepath.Join(root, masterName), p.multivariant().AppendTo); err != nil {
		return err
	}
	return writeText(filepath.Join(root, manifestName), p.manifest().AppendTo)
}

func (p *presentation) writeMedia(root string, m *muxed, kind hls.Kind, name string) error {
	list := hls.MediaPlaylist{Kind: kind, Target: p.Target, Timescale: m.Timescale, Map: initName}
	for i, duration := range m.Durations {
		segment := hls.Segment{URI: fmt.Sprintf(segmentName, i+1), Duration: duration}
		if kind == hls.IFrames {
			segment.Range = m.IFrames[i]
		}
		list.Segments = append(list.Segments, segment)
	}
	return writeText(filepath.Join(root, m.Folder, name), list.AppendTo)
}

// writeText writes what a manifest appends.
func writeText(path string, appendTo func([]byte) ([]byte, error)) error {
	text, err := appendTo(nil)
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return writeFile(path, text)
}

// multivariant names all playlists: each rung once for each group of sound, so
// that a player takes the layout it can play.
func (p *presentation) multivariant() *hls.Multivariant {
	m := &hls.Multivariant{}
	groups := p.audioGroups()
	for _, g := range groups {
		for _, a := range g.members {
			m.Media = append(m.Media, hls.Media{
				Type: hls.Audio, Group: g.id, Name: hls.Printable(a.Name), Language: a.Language,
				Default: a.Default, Autoselect: true, Channels: a.Spec.Channels, URI: a.Media.Folder + "/" + mediaName,
			})
		}
	}
	subtitles := ""
	for _, s := range p.Subtitles {
		subtitles = subtitlesID
		m.Media = append(m.Media, hls.Media{
			Type: hls.Subtitles, Group: subtitlesID, Name: hls.Printable(s.Name), Language: s.Language,
			Autoselect: true, Forced: s.Forced, URI: s.Folder + "/" + mediaName,
		})
	}
	if len(p.Video) == 0 {
		for _, g := range groups {
			m.Variants = append(m.Variants, hls.Variant{
				URI: g.members[0].Media.Folder + "/" + mediaName, Bandwidth: g.peak, AverageBandwidth: g.mean,
				Codecs: g.codecs, Audio: g.id, Subtitles: subtitles,
			})
		}
		return m
	}
	if len(groups) == 0 {
		groups = []audioGroup{{}}
	}
	for _, g := range groups {
		for _, v := range p.Video {
			peak, mean := v.Media.bandwidth(p.Target)
			m.Variants = append(m.Variants, hls.Variant{
				URI: v.Media.Folder + "/" + mediaName, Bandwidth: peak + g.peak, AverageBandwidth: mean + g.mean,
				Codecs:  append([]string{v.Media.Codecs}, g.codecs...),
				Picture: v.picture(), FrameRate: v.FrameRate, Audio: g.id, Subtitles: subtitles,
			})
		}
	}
	startAt(m.Variants, firstVariant)
	for _, v := range p.Video {
		peak, mean := v.iframeRate(p.Target)
		m.IFrames = append(m.IFrames, hls.IFrameVariant{
			URI: v.Media.Folder + "/" + iframesName, Bandwidth: peak, AverageBandwidth: mean,
			Codecs: []string{v.Media.Codecs}, Picture: v.picture(),
		})
	}
	return m
}

// audioGroup is a group of audio renditions that replace each other. All groups
// have every track of the source: where a track has no surround sound, its
// stereo stands in for it.
type audioGroup struct {
	id         string
	members    []audioEntry
	codecs     []string
	peak, mean int64 // of the largest member
}

func (p *presentation) audioGroups() []audioGroup {
	byName := map[string]*audioGroup{}
	var names []string
	for _, a := range p.Audio {
		if byName[a.Group] == nil {
			byName[a.Group] = &audioGroup{id: "audio-" + a.Group}
			names = append(names, a.Group)
		}
	}
	var groups []audioGroup
	for _, name := range names {
		g := byName[name]
		for _, a := range p.Audio {
			if a.Group == name || (a.Group == stereoGroup && !p.hasAudio(a.Source, name)) {
				g.members = append(g.members, a)
				peak, mean := a.Media.bandwidth(p.Target)
				g.peak, g.mean = max(g.peak, peak), max(g.mean, mean)
				if !slices.Contains(g.codecs, a.Media.Codecs) {
					g.codecs = append(g.codecs, a.Media.Codecs)
				}
			}
		}
		groups = append(groups, *g)
	}
	return groups
}

func (p *presentation) hasAudio(source int, group string) bool {
	return slices.ContainsFunc(p.Audio, func(a audioEntry) bool { return a.Source == source && a.Group == group })
}

// firstVariant is the rate, bits a second, of the variant that players begin
// with who begin with the first: quick to start on most lines.
const firstVariant = 2_000_000

// startAt moves the variant in the first codec whose mean is nearest to rate to
// the front.
func startAt(variants []hls.Variant, rate int64) {
	best := 0
	for i, v := range variants {
		if v.Codecs[0][:4] == variants[0].Codecs[0][:4] && v.Audio == variants[0].Audio && distance(v.AverageBandwidth, rate) < distance(variants[best].AverageBandwidth, rate) {
			best = i
		}
	}
	first := variants[best]
	copy(variants[1:best+1], variants[:best])
	variants[0] = first
}

func distance(a, b int64) int64 { return max(a-b, b-a) }

func (v videoTrack) picture() hls.Picture {
	return hls.Picture{Width: v.Rung.Width, Height: v.Rung.Height, Range: v.videoRange()}
}

func (v videoTrack) iframeRate(target time.Duration) (peak, mean int64) {
	sizes := make([]hls.SegmentSize, len(v.Media.IFrames))
	for i, r := range v.Media.IFrames {
		sizes[i] = hls.SegmentSize{Duration: v.Media.Sizes[i].Duration, Bytes: r.Length}
	}
	return hls.Bandwidths(sizes, target)
}

// manifest is the same for DASH, on the same segments.
func (p *presentation) manifest() *dash.Presentation {
	m := &dash.Presentation{Duration: p.Duration, MinBuffer: minBuffer}
	sets := map[string]int{}
	for _, v := range p.Video {
		key := v.Codec + string(v.videoRange())
		if _, seen := sets[key]; !seen {
			sets[key] = len(m.Video)
			m.Video = append(m.Video, dash.VideoSet{Color: v.cicp()})
		}
		peak, _ := v.Media.bandwidth(p.Target)
		set := &m.Video[sets[key]]
		set.Rungs = append(set.Rungs, dash.VideoRung{
			ID: v.ID, Bandwidth: peak, Codec: v.Media.Codecs, Width: v.Rung.Width, Height: v.Rung.Height,
			FrameRate: v.FrameRate, Segments: v.Media.dash("video/$RepresentationID$"),
		})
	}
	for _, a := range p.Audio {
		peak, _ := a.Media.bandwidth(p.Target)
		role := dash.Alternate
		if a.Default {
			role = dash.Main
		}
		m.Audio = append(m.Audio, dash.AudioSet{
			Lang: a.Language, Role: role, Label: a.Name, Channels: a.Spec.Channels, SampleRate: a.Spec.Rate,
			Rungs: []dash.AudioRung{{ID: a.ID, Bandwidth: peak, Codec: a.Media.Codecs, Segments: a.Media.dash("audio/$RepresentationID$")}},
		})
	}
	for _, s := range p.Subtitles {
		role := dash.Subtitle
		if s.Forced {
			role = dash.ForcedSubtitle
		}
		m.Text = append(m.Text, dash.TextSet{
			ID: "text-" + s.ID, Lang: s.Language, Role: role, Label: s.Name, URL: s.Folder + "/" + wholeName,
			Bandwidth: max(256, s.Bytes*8*int64(time.Second)/max(1, int64(p.Duration))),
		})
	}
	if b := p.Board; b != nil {
		m.Thumbs = append(m.Thumbs, dash.Thumbnails{
			ID: "storyboard", Bandwidth: b.bandwidth(), Media: boardFolder + "/sprite-$Number%05d$.jpg",
			Columns: b.Columns, Rows: b.Rows, Width: b.Width, Height: b.Height, Interval: b.interval(),
		})
	}
	return m
}

func (m *muxed) dash(folder string) dash.Segments {
	return dash.Segments{
		Init: folder + "/" + initName, Media: folder + "/$Number%05d$.m4s",
		Timescale: m.Timescale, Durations: m.Durations,
	}
}

// boundaries are the times at which segments begin, and the end.
func boundaries(cuts []int, count int, rate timebase.Rational) []time.Duration {
	list := make([]time.Duration, 0, len(cuts)+1)
	for _, cut := range append(append([]int(nil), cuts...), count) {
		list = append(list, time.Duration(timebase.MulDiv(int64(cut), int64(time.Second)*rate.Den, rate.Num)))
	}
	return list
}
