package window

import (
	"slices"
	"time"

	"liuyun/internal/av/hls"
	"liuyun/internal/base/fault"
)

// Master returns the multivariant playlist. Its bandwidths are those of the segments
// in the window. It is unavailable before each rendition has one.
func (g *Group) Master() (Answer, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.renditions) == 0 {
		return Answer{}, errNotYet()
	}
	var m hls.Multivariant
	v := hls.Variant{}
	var sound bandwidth
	for _, r := range g.renditions {
		list := r.listed(g.first)
		if len(list) == 0 {
			return Answer{}, errNotYet()
		}
		b := measure(list, g.o.Longest)
		i := r.init()
		if i.Channels > 0 {
			sound = bandwidth{max(sound.peak, b.peak), max(sound.average, b.average)}
			m.Media = append(m.Media, hls.Media{
				Type: hls.Audio, Group: "audio", Name: audioName(r, i), Language: i.Language, Channels: i.Channels,
				Default: len(m.Media) == 0, Autoselect: true, URI: mediaURI(r),
			})
		} else {
			v.URI, v.Bandwidth, v.AverageBandwidth = mediaURI(r), b.peak, b.average
			v.Picture = hls.Picture{Width: i.Width, Height: i.Height, Range: hls.SDR}
			v.FrameRate = r.rate()
		}
		for _, s := range list {
			m.Dependent = m.Dependent || s.dependent
		}
		if !slices.Contains(v.Codecs, i.Codec) {
			v.Codecs = append(v.Codecs, i.Codec)
		}
	}
	m.Dependent = m.Dependent || g.health.Dependent > 0
	if len(m.Media) > 0 {
		v.Audio = "audio"
	}
	if v.URI == "" {
		v.URI = m.Media[0].URI
	}
	v.Bandwidth += sound.peak
	v.AverageBandwidth += sound.average
	m.Variants = []hls.Variant{v}
	text, err := m.AppendTo(nil)
	if err != nil {
		return Answer{}, fault.Wrap(err, fault.Internal, "the multivariant playlist of the stream cannot be written")
	}
	return Answer{Text: text, Caching: Caching{MaxAge: time.Second}}, nil
}

func mediaURI(r *rendition) string { return r.name + "/media.m3u8" }

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
	average := max(hls.AverageBitrate(sizes), 1)
	return bandwidth{max(hls.PeakBitrate(sizes, target), average), average}
}
