package mp4

import (
	"bytes"
	"fmt"
	"math"
	"strings"

	ff "github.com/Eyevinn/mp4ff/mp4"
)

// VideoTrack describes a video track to write. All pixels are square.
type VideoTrack struct {
	Codec         Codec  // H264, HEVC or AV1
	Config        []byte // payload of avcC, hvcC or av1C, written as it stands
	Width, Height int    // pixels
	Timescale     uint32 // ticks a second
	MediaStart    int64  // media time of the first picture, which an edit list takes away; see Track.PresentFrom
	Colour        *Colour
	Mastering     *Mastering    // HDR only
	ContentLight  *ContentLight // HDR only
}

// Colour is how picture values are to be understood: the code points of ITU-T
// H.273. It becomes a colr box of type nclx.
type Colour struct {
	Primaries, Transfer, Matrix uint16
	FullRange                   bool
}

// Chromaticity is a CIE 1931 point in steps of 0.00002.
type Chromaticity struct{ X, Y uint16 }

// Mastering is the display that a picture was graded on (SMPTE ST 2086). It
// becomes an mdcv box.
type Mastering struct {
	Red, Green, Blue, White    Chromaticity
	MaxLuminance, MinLuminance uint32 // in steps of 0.0001 cd/m²
}

// ContentLight is how bright the pictures get, in cd/m² (CTA-861.3): the
// brightest pixel, and the brightest average of a frame. It becomes a clli box.
type ContentLight struct{ MaxContent, MaxFrameAverage uint16 }

// AudioTrack describes a track of sound to write.
type AudioTrack struct {
	Codec                Codec  // AAC, which "" means, or Opus
	Config               []byte // AudioSpecificConfig, or the payload of dOps
	Channels, SampleRate int
	Timescale            uint32 // ticks a second
	Priming              int64  // ticks at the start that an edit list leaves out
	// Language is an ISO 639-2/T code, or any other RFC 5646 tag, which is kept
	// in an elng box besides: mdhd then has its first part if that has three
	// letters, else "und". Empty means "und".
	Language string
	Bitrate  int // mean, in bit/s; 0 if not known
}

// newVideoTrak returns a trak without samples.
func newVideoTrak(id uint32, v VideoTrack) (*ff.TrakBox, error) {
	if v.Timescale == 0 {
		return nil, fmt.Errorf("video track: no timescale")
	}
	if v.MediaStart < 0 || v.MediaStart > math.MaxInt32 {
		return nil, fmt.Errorf("video track: starts at %d ticks", v.MediaStart)
	}
	entry, err := videoEntry(v)
	if err != nil {
		return nil, fmt.Errorf("video track: %w", err)
	}
	trak := ff.CreateEmptyTrak(id, v.Timescale, "video", "und")
	trak.Tkhd.Width = ff.Fixed32(v.Width << 16)
	trak.Tkhd.Height = ff.Fixed32(v.Height << 16)
	trak.Mdia.Hdlr.Name = "video"
	trak.Mdia.Minf.Stbl.Stsd.AddChild(entry)
	return trak, nil
}

// videoEntry returns the sample entry of a video track.
func videoEntry(v VideoTrack) (ff.Box, error) {
	if v.Width < 1 || v.Width > math.MaxUint16 || v.Height < 1 || v.Height > math.MaxUint16 {
		return nil, fmt.Errorf("%d×%d pixels", v.Width, v.Height)
	}
	kind, configKind := "", ""
	switch v.Codec {
	case H264:
		kind, configKind = "avc1", "avcC"
	case HEVC:
		kind, configKind = "hvc1", "hvcC"
	case AV1:
		kind, configKind = "av01", "av1C"
	default:
		return nil, fmt.Errorf("codec %q", v.Codec)
	}
	if _, err := CodecString(v.Codec, v.Config); err != nil {
		return nil, err
	}
	config := ff.CreateUnknownBox(configKind, uint64(8+len(v.Config)), v.Config)
	entry := ff.CreateVisualSampleEntryBox(kind, uint16(v.Width), uint16(v.Height), config)
	entry.CompressorName = ""
	entry.AddChild(&ff.PaspBox{HSpacing: 1, VSpacing: 1})
	if c := v.Colour; c != nil {
		entry.AddChild(&ff.ColrBox{
			ColorType: ff.ColorTypeOnScreenColors, ColorPrimaries: c.Primaries,
			TransferCharacteristics: c.Transfer, MatrixCoefficients: c.Matrix, FullRangeFlag: c.FullRange,
		})
	}
	if m := v.Mastering; m != nil { // in mdcv green comes first, then blue, then red
		entry.AddChild(ff.CreateMdcvBox(
			[3]uint16{m.Green.X, m.Blue.X, m.Red.X}, [3]uint16{m.Green.Y, m.Blue.Y, m.Red.Y},
			m.White.X, m.White.Y, m.MaxLuminance, m.MinLuminance))
	}
	if c := v.ContentLight; c != nil {
		entry.AddChild(ff.CreateClliBox(c.MaxContent, c.MaxFrameAverage))
	}
	return entry, nil
}

// newAudioTrak returns a trak without samples and without an edit list.
func newAudioTrak(id uint32, a AudioTrack) (*ff.TrakBox, error) {
	if a.Timescale == 0 {
		return nil, fmt.Errorf("audio track: no timescale")
	}
	if a.Priming < 0 || a.Priming > math.MaxInt32 {
		return nil, fmt.Errorf("audio track: priming of %d ticks", a.Priming)
	}
	entry, err := audioEntry(a)
	if err != nil {
		return nil, fmt.Errorf("audio track: %w", err)
	}
	language, extended := languages(a.Language)
	trak := ff.CreateEmptyTrak(id, a.Timescale, "audio", extended)
	trak.Mdia.Mdhd.SetLanguage(language)
	trak.Mdia.Hdlr.Name = "audio"
	trak.Mdia.Minf.Stbl.Stsd.AddChild(entry)
	return trak, nil
}

// audioEntry returns the sample entry of an audio track.
func audioEntry(a AudioTrack) (ff.Box, error) {
	if a.Channels < 1 || a.Channels > math.MaxUint16 || a.SampleRate < 1 {
		return nil, fmt.Errorf("%d channels at %d Hz", a.Channels, a.SampleRate)
	}
	if a.Bitrate < 0 || a.Bitrate > math.MaxUint32 {
		return nil, fmt.Errorf("%d bit/s", a.Bitrate)
	}
	if a.Codec == "" {
		a.Codec = AAC
	}
	if a.Codec != AAC && a.Codec != Opus {
		return nil, fmt.Errorf("codec %q", a.Codec)
	}
	if _, err := CodecString(a.Codec, a.Config); err != nil {
		return nil, err
	}
	if a.Codec == Opus { // its samples are always at 48 kHz (Opus in ISOBMFF 4.3.1)
		raw, err := appendBoxes(nil, ff.CreateUnknownBox("dOps", uint64(8+len(a.Config)), a.Config))
		if err != nil {
			return nil, err
		}
		config, err := decode[*ff.DopsBox](bytes.NewReader(raw), box{kind: "dOps", end: int64(len(raw))})
		if err != nil {
			return nil, err
		}
		return ff.CreateAudioSampleEntryBox("Opus", uint16(a.Channels), 16, 48000, config), nil
	}
	if len(a.Config) > 64 { // the length of its descriptors is one byte
		return nil, fmt.Errorf("audio specific config of %d bytes", len(a.Config))
	}
	esds := ff.CreateEsdsBox(a.Config)
	esds.DecConfigDescriptor.AvgBitrate = uint32(a.Bitrate)
	rate := a.SampleRate
	if rate > math.MaxUint16 { // does not fit, and the config says it
		rate = 0
	}
	return ff.CreateAudioSampleEntryBox("mp4a", uint16(a.Channels), 16, uint16(rate), esds), nil
}

// languages returns what mdhd holds for a tag, and what elng holds: three
// letters where mdhd says it all.
func languages(tag string) (code, extended string) {
	primary, _, regional := strings.Cut(strings.ToLower(tag), "-")
	isLetter := func(r rune) bool { return r >= 'a' && r <= 'z' }
	switch {
	case len(tag) < 2:
		return "und", "und"
	case len(primary) != 3 || strings.TrimFunc(primary, isLetter) != "":
		return "und", tag
	case regional:
		return primary, tag
	}
	return primary, primary
}

// addEdit gives trak an edit list, if it needs one, that leaves out the media
// before start and presents the rest: so many ticks of the movie, or all there
// is if that is 0, as in a fragmented file.
func addEdit(trak *ff.TrakBox, start int64, presented uint64) {
	if start == 0 {
		return
	}
	elst := &ff.ElstBox{Entries: []ff.ElstEntry{{SegmentDuration: presented, MediaTime: start, MediaRateInteger: 1}}}
	if presented > math.MaxUint32 {
		elst.Version = 1
	}
	edts := &ff.EdtsBox{} // stands before mdia
	edts.AddChild(elst)
	edts.Elst = []*ff.ElstBox{elst}
	trak.Edts = edts
	trak.Children = []ff.Box{trak.Tkhd, edts, trak.Mdia}
}
