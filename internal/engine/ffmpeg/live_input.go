package ffmpeg

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"liuyun/internal/base/timebase"
)

// LiveSource is the one track that a live child reads.
type LiveSource struct {
	Codec string // "h264", "hevc", "av1", "aac" or "opus"
	// Config is the payload of avcC, hvcC, av1C or dOps, or an AudioSpecificConfig.
	Config []byte
	Clock  int64 // ticks a second of its units

	Width, Height int
	Rate          timebase.Rational // of pictures; encoders spend their bits by it
	Interlaced    bool              // pictures may be: those that are get deinterlaced

	SampleRate, Channels int
}

// LiveUnit is a picture or a frame of sound, as hub streams carry them: NAL units
// each after four bytes of length, OBUs, or a frame without a header.
type LiveUnit struct {
	PTS  int64 // ticks of the source's clock
	Key  bool
	Data []byte
}

// liveWriter writes a track as Matroska: each unit a cluster of its own, whole in
// one write, with its time in nanoseconds, from which ticks come back exactly.
// Times go on for 292 years without a wrap.
type liveWriter struct {
	w      io.Writer
	clock  int64
	buffer []byte // of the last unit, used again
}

// Elements of Matroska (RFC 9559) that are written.
const (
	ebmlHeader         = 0x1a45dfa3
	ebmlDocType        = 0x4282
	ebmlDocVersion     = 0x4287
	ebmlDocReadVersion = 0x4285
	mkvSegment         = 0x18538067
	mkvInfo            = 0x1549a966
	mkvTimestampScale  = 0x2ad7b1
	mkvMuxingApp       = 0x4d80
	mkvWritingApp      = 0x5741
	mkvTracks          = 0x1654ae6b
	mkvTrackEntry      = 0xae
	mkvTrackNumber     = 0xd7
	mkvTrackUID        = 0x73c5
	mkvTrackType       = 0x83
	mkvFlagLacing      = 0x9c
	mkvCodecID         = 0x86
	mkvCodecPrivate    = 0x63a2
	mkvDefaultDuration = 0x23e383
	mkvVideo           = 0xe0
	mkvPixelWidth      = 0xb0
	mkvPixelHeight     = 0xba
	mkvAudio           = 0xe1
	mkvSamplingRate    = 0xb5
	mkvChannels        = 0x9f
	mkvCluster         = 0x1f43b675
	mkvTimestamp       = 0xe7
	mkvSimpleBlock     = 0xa3
)

// unknownSize is the size of an element that goes on for as long as it likes.
const unknownSize = 0x01ff_ffff_ffff_ffff

var mkvCodecs = map[string]string{
	"h264": "V_MPEG4/ISO/AVC", "hevc": "V_MPEGH/ISO/HEVC", "av1": "V_AV1", "aac": "A_AAC", "opus": "A_OPUS",
}

// newLiveWriter writes what stands before the first unit.
func newLiveWriter(w io.Writer, src LiveSource) (*liveWriter, error) {
	codec, ok := mkvCodecs[src.Codec]
	if !ok || src.Clock <= 0 {
		return nil, fmt.Errorf("live source: codec %q with a clock of %d", src.Codec, src.Clock)
	}
	config := src.Config
	if src.Codec == "opus" {
		var err error
		if config, err = opusHead(config); err != nil {
			return nil, err
		}
	}
	track := appendUint(nil, mkvTrackNumber, 1)
	track = appendUint(track, mkvTrackUID, 1)
	track = appendUint(track, mkvFlagLacing, 0)
	track = appendElement(track, mkvCodecID, []byte(codec))
	track = appendElement(track, mkvCodecPrivate, config)
	if src.SampleRate > 0 {
		sound := appendElement(nil, mkvSamplingRate, binary.BigEndian.AppendUint64(nil, math.Float64bits(float64(src.SampleRate))))
		sound = appendUint(sound, mkvChannels, uint64(src.Channels))
		track = appendElement(appendUint(track, mkvTrackType, 2), mkvAudio, sound)
	} else {
		if src.Rate.Valid() {
			track = appendUint(track, mkvDefaultDuration, uint64(timebase.MulDiv(1e9, src.Rate.Den, src.Rate.Num)))
		}
		picture := appendUint(nil, mkvPixelWidth, uint64(src.Width))
		picture = appendUint(picture, mkvPixelHeight, uint64(src.Height))
		track = appendElement(appendUint(track, mkvTrackType, 1), mkvVideo, picture)
	}
	head := appendElement(nil, ebmlDocType, []byte("matroska"))
	head = appendUint(head, ebmlDocVersion, 4)
	head = appendUint(head, ebmlDocReadVersion, 2)
	info := appendUint(nil, mkvTimestampScale, 1) // nanoseconds
	info = appendElement(info, mkvMuxingApp, []byte("liuyun"))
	info = appendElement(info, mkvWritingApp, []byte("liuyun"))

	out := appendElement(nil, ebmlHeader, head)
	out = appendID(out, mkvSegment)
	out = binary.BigEndian.AppendUint64(out, unknownSize)
	out = appendElement(out, mkvInfo, info)
	out = appendElement(out, mkvTracks, appendElement(nil, mkvTrackEntry, track))
	_, err := w.Write(out)
	return &liveWriter{w: w, clock: src.Clock}, err
}

// write writes a unit. One before time 0 is left out.
func (l *liveWriter) write(u LiveUnit) error {
	if u.PTS < 0 {
		return nil
	}
	const key, none = 0x80, 0
	flags := byte(none)
	if u.Key {
		flags = key
	}
	block := [4]byte{0x81, 0, 0, flags} // track 1, at the cluster's time
	blockSize := len(block) + len(u.Data)
	var at [16]byte
	time := appendUint(at[:0], mkvTimestamp, uint64(timebase.MulDiv(u.PTS, 1e9, l.clock)))

	out := appendID(l.buffer[:0], mkvCluster)
	out = appendSize(out, len(time)+1+sizeLength+blockSize)
	out = append(out, time...)
	out = appendID(out, mkvSimpleBlock)
	out = appendSize(out, blockSize)
	out = append(out, block[:]...)
	l.buffer = append(out, u.Data...)
	_, err := l.w.Write(l.buffer)
	return err
}

// opusHead makes the header of RFC 7845 from a dOps box, which says the same in the
// other order of bytes. What a decoder is told to leave out at the start is 0: this
// is not the start.
func opusHead(dops []byte) ([]byte, error) {
	const fixed = 11
	if len(dops) < fixed || dops[0] != 0 {
		return nil, errors.New("live source: the configuration of Opus is malformed")
	}
	out := append([]byte("OpusHead"), 1, dops[1], 0, 0)
	out = binary.LittleEndian.AppendUint32(out, binary.BigEndian.Uint32(dops[4:]))
	out = binary.LittleEndian.AppendUint16(out, binary.BigEndian.Uint16(dops[8:]))
	return append(out, dops[10:]...), nil
}

// appendID appends the identifier of an element, whose length is in it.
func appendID(dst []byte, id uint32) []byte {
	var wide [4]byte
	binary.BigEndian.PutUint32(wide[:], id)
	skip := 0
	for wide[skip] == 0 {
		skip++
	}
	return append(dst, wide[skip:]...)
}

// sizeLength is how many bytes sizes are written in.
const sizeLength = 4

func appendSize(dst []byte, size int) []byte {
	return binary.BigEndian.AppendUint32(dst, 0x1000_0000|uint32(size))
}

func appendElement(dst []byte, id uint32, body []byte) []byte {
	return append(appendSize(appendID(dst, id), len(body)), body...)
}

func appendUint(dst []byte, id uint32, value uint64) []byte {
	dst = appendSize(appendID(dst, id), 8)
	return binary.BigEndian.AppendUint64(dst, value)
}
