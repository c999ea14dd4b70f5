package hls

import (
	"fmt"
	"strconv"
	"strings"

	"liuyun/internal/base/timebase"
)

// Multivariant is the playlist that names all others (RFC 8216 4.3.4). Unless it is
// Dependent, it declares that segments are independent, so each of them must begin
// with a key frame. It declares that there are no captions inside the picture. A
// presentation of sound alone has variants without a picture.
type Multivariant struct {
	Media     []Media
	Variants  []Variant
	IFrames   []IFrameVariant
	Dependent bool // not every segment begins with a key frame
}

// MediaType is the TYPE of an EXT-X-MEDIA tag.
type MediaType string

// The types.
const (
	Audio     MediaType = "AUDIO"
	Subtitles MediaType = "SUBTITLES"
)

// Media is one rendition of a group (EXT-X-MEDIA, RFC 8216 4.3.4.1). The
// renditions of a group have different names, and at most one is the default.
type Media struct {
	Type            MediaType
	Group           string
	Name            string // for people
	Language        string // RFC 5646; empty is unknown
	Default         bool   // played unless the viewer chooses another; implies Autoselect
	Autoselect      bool   // may be chosen for its language
	Forced          bool   // subtitles that are needed even by those who understand the sound
	Channels        int    // audio only, required there
	Characteristics []string
	URI             string // may be empty for sound that the variant's own segments carry
}

// VideoRange is the dynamic range of a picture (rfc8216bis 4.4.6.2).
type VideoRange string

// The ranges.
const (
	SDR VideoRange = "SDR"
	HLG VideoRange = "HLG"
	PQ  VideoRange = "PQ"
)

// Picture describes a variant's video. The zero Picture is none.
type Picture struct {
	Width, Height int
	Range         VideoRange
}

// Variant is one rung with the groups that belong to it (EXT-X-STREAM-INF).
// Bandwidth, AverageBandwidth and Codecs cover the largest rendition of each
// group that it names.
type Variant struct {
	URI              string
	Bandwidth        int64 // bits a second: the larger of PeakBitrate and AverageBitrate
	AverageBandwidth int64
	Codecs           []string // RFC 6381
	Picture          Picture
	FrameRate        timebase.Rational // required with a picture
	Audio            string            // a group of Multivariant.Media, or empty
	Subtitles        string            // likewise
}

// IFrameVariant is one playlist of key frames for scrubbing
// (EXT-X-I-FRAME-STREAM-INF).
type IFrameVariant struct {
	URI              string
	Bandwidth        int64
	AverageBandwidth int64
	Codecs           []string
	Picture          Picture
}

// AppendTo appends the playlist to dst. On an error dst is returned as it was.
func (m *Multivariant) AppendTo(dst []byte) ([]byte, error) {
	if err := m.check(); err != nil {
		return dst, fmt.Errorf("multivariant playlist: %w", err)
	}
	dst = append(dst, "#EXTM3U\n"+version...)
	if !m.Dependent {
		dst = append(dst, "#EXT-X-INDEPENDENT-SEGMENTS\n"...)
	}
	for _, r := range m.Media {
		dst = append(r.attributes().appendTag(dst, "#EXT-X-MEDIA:"), '\n')
	}
	for _, v := range m.Variants {
		dst = append(v.attributes().appendTag(dst, "#EXT-X-STREAM-INF:"), '\n')
		dst = append(append(dst, v.URI...), '\n')
	}
	for _, v := range m.IFrames {
		dst = append(v.attributes().appendTag(dst, "#EXT-X-I-FRAME-STREAM-INF:"), '\n')
	}
	return dst, nil
}

// attributes is an attribute list (RFC 8216 4.2), each "NAME=value".
type attributes []string

func (a *attributes) plain(name, value string) { *a = append(*a, name+"="+value) }

func (a *attributes) quoted(name, value string) {
	if value != "" {
		a.plain(name, `"`+value+`"`)
	}
}

func (a *attributes) yes(name string, value bool) {
	if value {
		a.plain(name, "YES")
	}
}

func (a attributes) appendTag(dst []byte, tag string) []byte {
	return append(append(dst, tag...), strings.Join(a, ",")...)
}

func (r Media) attributes() attributes {
	var a attributes
	a.plain("TYPE", string(r.Type))
	a.quoted("GROUP-ID", r.Group)
	a.quoted("NAME", r.Name)
	a.quoted("LANGUAGE", r.Language)
	a.yes("DEFAULT", r.Default)
	a.yes("AUTOSELECT", r.Autoselect || r.Default)
	a.yes("FORCED", r.Forced)
	a.quoted("CHARACTERISTICS", strings.Join(r.Characteristics, ","))
	if r.Type == Audio {
		a.quoted("CHANNELS", strconv.Itoa(r.Channels))
	}
	a.quoted("URI", r.URI)
	return a
}

func (v Variant) attributes() attributes {
	var a attributes
	a.stream(v.Bandwidth, v.AverageBandwidth, v.Codecs)
	a.picture(v.Picture)
	if v.FrameRate.Valid() {
		milli := timebase.MulDiv(v.FrameRate.Num, 1000, v.FrameRate.Den)
		a.plain("FRAME-RATE", fmt.Sprintf("%d.%03d", milli/1000, milli%1000))
	}
	a.quoted("AUDIO", v.Audio)
	a.quoted("SUBTITLES", v.Subtitles)
	a.plain("CLOSED-CAPTIONS", "NONE")
	return a
}

func (v IFrameVariant) attributes() attributes {
	var a attributes
	a.stream(v.Bandwidth, v.AverageBandwidth, v.Codecs)
	a.picture(v.Picture)
	a.quoted("URI", v.URI)
	return a
}

func (a *attributes) stream(bandwidth, average int64, codecs []string) {
	a.plain("BANDWIDTH", strconv.FormatInt(bandwidth, 10))
	if average > 0 {
		a.plain("AVERAGE-BANDWIDTH", strconv.FormatInt(average, 10))
	}
	a.quoted("CODECS", strings.Join(codecs, ","))
}

func (a *attributes) picture(p Picture) {
	if p == (Picture{}) {
		return
	}
	a.plain("RESOLUTION", fmt.Sprintf("%dx%d", p.Width, p.Height))
	a.plain("VIDEO-RANGE", string(p.Range))
}
