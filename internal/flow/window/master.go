package window

import (
	"bytes"
	"slices"
	"time"

	"liuyun/internal/av/hls"
	"liuyun/internal/base/fault"
)

// Master returns the multivariant playlist. Its bandwidths are those of the segments
// in the window; those of renditions that have not come yet are planned, those of
// their key frames too. It is unavailable before each rendition that the source sends
// has a segment.
func (g *Group) Master() (Answer, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	l, ok := g.lineup()
	if !ok {
		return Answer{}, errNotYet()
	}
	m := hls.Multivariant{Dependent: l.dependent}
	for _, s := range l.sound {
		m.Media = append(m.Media, hls.Media{
			Type: hls.Audio, Group: "audio", Name: audioName(s.r, s.init), Language: s.init.Language, Channels: s.init.Channels,
			Default: len(m.Media) == 0, Autoselect: true, URI: mediaURI(s.r.name),
		})
	}
	captions := g.captionsMedia()
	m.Media = append(m.Media, captions...)
	for _, p := range l.pictures {
		m.Variants = append(m.Variants, l.variant(p, len(captions) > 0))
		if p.key.peak > 0 {
			m.IFrames = append(m.IFrames, hls.IFrameVariant{
				URI: p.name + "/" + keysName, Bandwidth: p.key.peak, AverageBandwidth: p.key.average, Codecs: []string{p.codec}, Picture: p.picture,
			})
		}
	}
	if len(m.Variants) == 0 {
		v := l.variant(entry{}, len(captions) > 0)
		v.URI = m.Media[0].URI
		m.Variants = []hls.Variant{v}
	}
	body, err := m.AppendTo(nil)
	if err != nil {
		return Answer{}, fault.Wrap(err, fault.Internal, "the multivariant playlist of the stream cannot be written")
	}
	if !bytes.Equal(body, g.master.bytes) {
		g.master = g.o.Buffers.text(0, body)
	}
	return g.master.answer(Caching{MaxAge: time.Second}), nil
}

// lineup is what is offered to players of HLS.
type lineup struct {
	pictures  []entry
	sound     []entry // of one codec: AAC where there is some
	dependent bool    // not every segment begins with a key frame
}

// entry is one rendition in it.
type entry struct {
	name    string
	r       *rendition // nil if it is planned only
	init    *initSection
	codec   string
	picture hls.Picture
	rate    bandwidth
	key     bandwidth // of its key frames alone; 0 is none
}

// lineup returns what there is, or is planned, and whether players can begin.
func (g *Group) lineup() (l lineup, ok bool) {
	l.dependent = g.health.Dependent > 0
	var sound []entry
	ready := 0
	for _, r := range g.renditions {
		list := r.listed(g.first)
		if len(list) == 0 {
			if r.derived == nil {
				return l, false
			}
			continue
		}
		e := entry{name: r.name, r: r, init: r.init(), codec: r.init().Codec, rate: measure(list, g.o.Longest)}
		for _, s := range list {
			l.dependent = l.dependent || s.dependent
		}
		switch planned := g.planned(r.name); {
		case e.init.Channels > 0:
			sound = append(sound, e)
		case r.derived == nil && g.plan.WithoutSource:
		case r.derived != nil && planned == nil && !slices.ContainsFunc(list, func(s *segment) bool { return !s.gap }):
		default:
			ready++
			e.picture = hls.Picture{Width: e.init.Width, Height: e.init.Height, Range: hls.SDR}
			e.key = measureKeys(list, g.o.Longest)
			if planned != nil {
				e.rate.peak = max(e.rate.peak, planned.Bitrate)
			}
			if planned != nil && e.key.peak == 0 { // of gaps alone
				e.key = planned.keys()
			}
			l.pictures = append(l.pictures, e)
		}
	}
	l.sound = soundFor(sound)
	ok = ready+len(sound) > 0
	if g.plan.WithoutSource {
		ok = ready > 0
	}
	l.pictures = g.inOrder(l.pictures)
	return l, ok
}

// soundFor returns the sound that all players know, if there is some.
func soundFor(all []entry) []entry {
	const aac = "mp4a"
	isAAC := func(e entry) bool { return len(e.codec) > len(aac) && e.codec[:len(aac)] == aac }
	if slices.ContainsFunc(all, isAAC) {
		return slices.DeleteFunc(all, func(e entry) bool { return !isAAC(e) })
	}
	return all
}

// inOrder puts pictures in the order of the plan, behind what the source sends, and
// adds what is planned only.
func (g *Group) inOrder(have []entry) (all []entry) {
	take := func(name string) bool {
		for _, e := range have {
			if e.name == name {
				all = append(all, e)
				return true
			}
		}
		return false
	}
	for _, e := range have {
		if e.r.derived == nil {
			all = append(all, e)
		}
	}
	for _, p := range g.plan.Rungs {
		if take(p.Name) || p.Height == 0 {
			continue
		}
		codec := p.Codec
		if codec == "" {
			codec = "avc1.640028"
		}
		all = append(all, entry{
			name: p.Name, init: &initSection{Rate: p.Rate}, codec: codec, picture: hls.Picture{Width: p.Width, Height: p.Height, Range: hls.SDR},
			rate: bandwidth{peak: max(p.Bitrate, 1), average: max(p.Bitrate, 1)}, key: p.keys(),
		})
	}
	for _, e := range have {
		if e.r.derived != nil && g.planned(e.name) == nil {
			all = append(all, e)
		}
	}
	return all
}

// variant is one rendition of pictures with the sound that belongs to it.
func (l *lineup) variant(p entry, captions bool) hls.Variant {
	var v hls.Variant
	if p.codec != "" {
		v = hls.Variant{
			URI: mediaURI(p.name), Bandwidth: p.rate.peak, AverageBandwidth: p.rate.average,
			Codecs: []string{p.codec}, Picture: p.picture, FrameRate: p.init.Rate,
		}
		if p.r != nil {
			v.FrameRate = p.r.rate()
		} else if !v.FrameRate.Valid() && l.pictures[0].r != nil {
			v.FrameRate = l.pictures[0].r.rate()
		}
	}
	var sound bandwidth
	for _, s := range l.sound {
		v.Audio = "audio"
		sound = bandwidth{max(sound.peak, s.rate.peak), max(sound.average, s.rate.average)}
		if !slices.Contains(v.Codecs, s.codec) {
			v.Codecs = append(v.Codecs, s.codec)
		}
	}
	if captions {
		v.Subtitles = captionsGroup
	}
	v.Bandwidth += sound.peak
	v.AverageBandwidth += sound.average
	return v
}

func mediaURI(name string) string { return name + "/media.m3u8" }

func audioName(r *rendition, i *initSection) string {
	if i.Language != "" {
		return hls.Printable(r.name + " " + i.Language)
	}
	return r.name
}

type bandwidth struct{ peak, average int64 }

func measure(list []*segment, target time.Duration) bandwidth {
	sizes := make([]hls.SegmentSize, 0, len(list))
	for _, s := range list {
		if !s.gap {
			sizes = append(sizes, hls.SegmentSize{Duration: s.duration, Bytes: s.size})
		}
	}
	return bandwidthOf(sizes, target)
}

func bandwidthOf(sizes []hls.SegmentSize, target time.Duration) bandwidth {
	peak, average := hls.Bandwidths(sizes, target)
	return bandwidth{max(peak, 1), max(average, 1)}
}

// keys is the rate of the key frames of what has not come yet: no more than of all
// pictures. What it is on average nobody knows.
func (r *Rung) keys() bandwidth { return bandwidth{peak: max(r.Bitrate, 1)} }

// measureKeys is the rate of the key frames alone, 0 where there are none.
func measureKeys(list []*segment, target time.Duration) bandwidth {
	sizes := make([]hls.SegmentSize, 0, len(list))
	for _, s := range list {
		if s.key > 0 && !s.gap {
			sizes = append(sizes, hls.SegmentSize{Duration: s.duration, Bytes: s.key})
		}
	}
	if len(sizes) == 0 {
		return bandwidth{}
	}
	return bandwidthOf(sizes, target)
}
