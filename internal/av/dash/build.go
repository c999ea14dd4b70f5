package dash

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/Eyevinn/dash-mpd/mpd"

	"liuyun/internal/base/timebase"
)

// Schemes that the library has no constant for.
const (
	schemeColourPrimaries = "urn:mpeg:mpegB:cicp:ColourPrimaries"
	schemeTransfer        = "urn:mpeg:mpegB:cicp:TransferCharacteristics"
	schemeMatrix          = "urn:mpeg:mpegB:cicp:MatrixCoefficients"
	schemeThumbnailTile   = "http://dashif.org/guidelines/thumbnail_tile"
)

// CICP transfer characteristics of wide-range pictures.
const (
	transferPQ  = 16
	transferHLG = 18
)

// builder fills the period. What it is given has been checked.
type builder struct {
	period  *mpd.Period
	longest time.Duration // of any media segment so far
}

func newBuilder(id string, start time.Duration) *builder {
	b := &builder{period: mpd.NewPeriod()}
	b.period.Id = id
	b.period.Start = mpd.Ptr(mpd.Duration(start))
	return b
}

// fill gives the period its pictures and its sound.
func (b *builder) fill(video []VideoSet, audio []AudioSet) {
	for _, s := range video {
		b.video(s)
	}
	for _, s := range audio {
		b.audio(s)
	}
}

// add gives the period one more adaptation set.
func (b *builder) add(contentType, mimeType string) *mpd.AdaptationSetType {
	set := mpd.NewAdaptationSet()
	set.Id = mpd.Ptr(uint32(len(b.period.AdaptationSets) + 1))
	set.ContentType = mpd.RFC6838ContentTypeType(contentType)
	set.MimeType = mimeType
	b.period.AdaptationSets = append(b.period.AdaptationSets, set)
	return set
}

func (b *builder) video(v VideoSet) {
	set := b.add("video", mpd.MIME_TYPE_VIDEO_MP4)
	set.SegmentAlignment = true
	set.StartWithSAP = 1
	v.Color.describe(set)
	fastest := v.Rungs[0].FrameRate
	segments := make([]Segments, len(v.Rungs))
	for i, r := range v.Rungs {
		rep := representation(r.ID, r.Bandwidth)
		rep.Codecs = r.Codec
		rep.Width, rep.Height = uint32(r.Width), uint32(r.Height)
		rep.FrameRate = mpd.FrameRateType(frameRate(r.FrameRate))
		rep.Sar = "1:1"
		set.Representations = append(set.Representations, rep)
		segments[i] = r.Segments
		set.MaxWidth, set.MaxHeight = max(set.MaxWidth, rep.Width), max(set.MaxHeight, rep.Height)
		if r.FrameRate.Cmp(fastest) > 0 {
			fastest = r.FrameRate
		}
	}
	set.MaxFrameRate = frameRate(fastest)
	b.template(set, segments)
}

// channelConfiguration is the ChannelConfiguration of ISO/IEC 23003-3 (CICP): that of
// 7.1 is 12, others are their number of channels.
func channelConfiguration(channels int) []*mpd.DescriptorType {
	if channels == 8 {
		channels = 12
	}
	return []*mpd.DescriptorType{mpd.NewDescriptor(mpd.AUDIO_CHANNEL_CONFIGURATION_MPEG_DASH, strconv.Itoa(channels), "")}
}

func (b *builder) audio(a AudioSet) {
	set := b.add("audio", mpd.MIME_TYPE_AUDIO_MP4)
	set.SegmentAlignment = true
	set.StartWithSAP = 1
	label(set, a.Lang, a.Role, a.Label)
	set.AudioSamplingRate = mpd.Ptr(mpd.UIntVectorType(strconv.Itoa(a.SampleRate)))
	set.AudioChannelConfigurations = channelConfiguration(a.Channels)
	segments := make([]Segments, len(a.Rungs))
	for i, r := range a.Rungs {
		rep := representation(r.ID, r.Bandwidth)
		rep.Codecs = r.Codec
		set.Representations = append(set.Representations, rep)
		segments[i] = r.Segments
	}
	b.template(set, segments)
}

func (b *builder) text(t TextSet) {
	set := b.add("text", mpd.MIME_TYPE_SUBTITLE_VTT)
	label(set, t.Lang, t.Role, t.Label)
	rep := representation(t.ID, t.Bandwidth)
	rep.BaseURLs = []*mpd.BaseURLType{mpd.NewBaseURL(t.URL)}
	set.Representations = []*mpd.RepresentationType{rep}
}

func (b *builder) thumbnails(t Thumbnails) {
	set := b.add("image", "image/jpeg")
	rep := representation(t.ID, t.Bandwidth)
	rep.Width, rep.Height = uint32(t.Columns*t.Width), uint32(t.Rows*t.Height)
	rep.EssentialProperties = []*mpd.DescriptorType{
		mpd.NewDescriptor(schemeThumbnailTile, fmt.Sprintf("%dx%d", t.Columns, t.Rows), ""),
	}
	template := &mpd.SegmentTemplateType{Media: t.Media}
	template.StartNumber = mpd.Ptr(uint32(1))
	template.Timescale = mpd.Ptr(uint32(1000))
	template.Duration = mpd.Ptr(uint32(time.Duration(t.Columns*t.Rows) * t.Interval / time.Millisecond))
	set.SegmentTemplate = template
	set.Representations = []*mpd.RepresentationType{rep}
}

// template gives the set one segment template where all its representations
// agree, else one to each.
func (b *builder) template(set *mpd.AdaptationSetType, all []Segments) {
	for _, s := range all {
		b.longest = max(b.longest, s.longest())
	}
	if !slices.ContainsFunc(all, func(s Segments) bool { return !s.equal(all[0]) }) {
		set.SegmentTemplate = all[0].template()
		return
	}
	for i, s := range all {
		set.Representations[i].SegmentTemplate = s.template()
	}
}

func (s Segments) equal(t Segments) bool {
	return s.Init == t.Init && s.Media == t.Media && s.Timescale == t.Timescale && slices.Equal(s.Durations, t.Durations) &&
		s.First == t.First && s.Start == t.Start && s.Offset == t.Offset
}

func (s Segments) longest() time.Duration {
	ticks := timebase.MulDiv(slices.Max(s.Durations), int64(time.Second), s.Timescale)
	return time.Duration(ticks)
}

func (s Segments) template() *mpd.SegmentTemplateType {
	t := &mpd.SegmentTemplateType{Initialization: s.Init, Media: s.Media}
	t.StartNumber = mpd.Ptr(uint32(max(s.First, 1)))
	t.Timescale = mpd.Ptr(uint32(s.Timescale))
	if s.Offset > 0 {
		t.PresentationTimeOffset = mpd.Ptr(uint64(s.Offset))
	}
	t.SegmentTimeline = &mpd.SegmentTimelineType{S: runs(s.Start, s.Durations)}
	return t
}

// runs writes equal neighbours as one entry with a repeat count (5.3.9.6).
func runs(start int64, durations []int64) []*mpd.S {
	var out []*mpd.S
	for i, d := range durations {
		if i > 0 && d == durations[i-1] {
			out[len(out)-1].R++
			continue
		}
		out = append(out, &mpd.S{D: uint64(d)})
	}
	out[0].T = mpd.Ptr(uint64(start))
	return out
}

// describe names the colour of the set. Where the transfer has a wide range the
// descriptors are essential: a player that cannot show it must not choose it.
func (c Color) describe(set *mpd.AdaptationSetType) {
	properties := &set.SupplementalProperties
	if c.Transfer == transferPQ || c.Transfer == transferHLG {
		properties = &set.EssentialProperties
	}
	for _, d := range []struct {
		scheme string
		value  int
	}{{schemeColourPrimaries, c.Primaries}, {schemeTransfer, c.Transfer}, {schemeMatrix, c.Matrix}} {
		if d.value != 0 {
			*properties = append(*properties, mpd.NewDescriptor(d.scheme, strconv.Itoa(d.value), ""))
		}
	}
}

func representation(id string, bandwidth int64) *mpd.RepresentationType {
	rep := mpd.NewRepresentation()
	rep.Id = id
	rep.Bandwidth = uint32(bandwidth)
	return rep
}

func label(set *mpd.AdaptationSetType, lang string, role Role, text string) {
	set.Lang = lang
	set.Roles = []*mpd.DescriptorType{mpd.NewRole(string(role))}
	if text != "" {
		set.Labels = []*mpd.LabelType{{Value: text}}
	}
}

// frameRate is "25" or "30000/1001" (5.3.7.2).
func frameRate(r timebase.Rational) string {
	r = timebase.R(r.Num, r.Den)
	if r.Den == 1 {
		return strconv.FormatInt(r.Num, 10)
	}
	return r.String()
}
