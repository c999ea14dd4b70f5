package mp4

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	ff "github.com/Eyevinn/mp4ff/mp4"

	"liuyun/internal/av/aac"
	"liuyun/internal/base/timebase"
)

// ReadTrack reads the header of a progressive MP4 file of size bytes that has
// exactly one video or audio track; tracks of other kinds are passed over. It
// reads box headers and the tables of the track, never the samples themselves,
// so that memory grows with the number of samples only (24 bytes each, and
// their tables while it runs). Every sample it returns lies inside the file.
func ReadTrack(r io.ReaderAt, size int64) (*Track, error) {
	moov, found, err := find(r, 0, size, "moov")
	if err != nil {
		return nil, fmt.Errorf("read mp4: %w", err)
	}
	if !found {
		return nil, errors.New("read mp4: no moov box: the file is not an MP4, or was not finished")
	}
	t := &trackReader{r: r, size: size}
	if err := t.readMovie(moov); err != nil {
		return nil, fmt.Errorf("read mp4: %w", err)
	}
	track, err := t.track()
	if err != nil {
		return nil, fmt.Errorf("read mp4: %w", err)
	}
	return track, nil
}

// find returns the first box of the kind between start and end.
func find(r io.ReaderAt, start, end int64, kind string) (b box, found bool, err error) {
	err = walk(r, start, end, func(child box) error {
		if child.kind != kind {
			return nil
		}
		b, found = child, true
		return errStop
	})
	return b, found, err
}

// trackReader gathers the boxes of the one media track.
type trackReader struct {
	r    io.ReaderAt
	size int64

	found     bool // a media track was read
	handler   string
	movieRate uint32 // ticks a second of the edit list's durations
	mediaRate uint32 // ticks a second of the track
	edits     *ff.ElstBox
	entry     sampleEntry
	tables    sampleTables
}

// readMovie reads the payload of moov.
func (t *trackReader) readMovie(moov box) error {
	return walk(t.r, moov.body, moov.end, func(b box) error {
		switch b.kind {
		case "mvhd":
			header, err := decode[*ff.MvhdBox](t.r, b)
			if err != nil {
				return err
			}
			t.movieRate = header.Timescale
		case "mvex":
			return errors.New("the file is fragmented")
		case "trak":
			return t.readTrak(b)
		}
		return nil
	})
}

// readTrak reads a track, if it is one of pictures or sound.
func (t *trackReader) readTrak(trak box) error {
	mdia, found, err := find(t.r, trak.body, trak.end, "mdia")
	if err != nil || !found {
		return err
	}
	handler, err := t.readHandler(mdia)
	if err != nil || (handler != "vide" && handler != "soun") {
		return err
	}
	if t.found {
		return errors.New("the file has more than one media track")
	}
	t.found, t.handler = true, handler
	edts, found, err := find(t.r, trak.body, trak.end, "edts")
	if err != nil {
		return err
	}
	if found {
		if err := t.readEdits(edts); err != nil {
			return err
		}
	}
	return t.readMedia(mdia)
}

// readHandler returns the handler type in mdia, "" if there is none.
func (t *trackReader) readHandler(mdia box) (string, error) {
	hdlr, found, err := find(t.r, mdia.body, mdia.end, "hdlr")
	if err != nil || !found {
		return "", err
	}
	const typeAt, typeEnd = 8, 12 // after version, flags and pre_defined
	if hdlr.end-hdlr.body < typeEnd {
		return "", errors.New("read hdlr: cut short")
	}
	kind, err := read(t.r, hdlr.body+typeAt, hdlr.body+typeEnd)
	return string(kind), err
}

// readEdits reads the edit list of edts.
func (t *trackReader) readEdits(edts box) error {
	elst, found, err := find(t.r, edts.body, edts.end, "elst")
	if err != nil || !found {
		return err
	}
	t.edits, err = decode[*ff.ElstBox](t.r, elst)
	return err
}

// readMedia reads the payload of mdia.
func (t *trackReader) readMedia(mdia box) error {
	return walk(t.r, mdia.body, mdia.end, func(b box) error {
		switch b.kind {
		case "mdhd":
			header, err := decode[*ff.MdhdBox](t.r, b)
			if err != nil {
				return err
			}
			t.mediaRate = header.Timescale
		case "minf":
			stbl, found, err := find(t.r, b.body, b.end, "stbl")
			if err != nil || !found {
				return err
			}
			return t.readSampleTable(stbl)
		}
		return nil
	})
}

// readSampleTable reads the payload of stbl.
func (t *trackReader) readSampleTable(stbl box) error {
	return walk(t.r, stbl.body, stbl.end, func(b box) error {
		if b.kind != "stsd" {
			return t.tables.read(t.r, b)
		}
		payload, err := read(t.r, b.body, min(b.end, b.body+maxDescription))
		if err != nil {
			return fmt.Errorf("read stsd: %w", err)
		}
		t.entry, err = parseDescription(payload)
		if err != nil {
			return fmt.Errorf("read stsd: %w", err)
		}
		return nil
	})
}

// track puts together what was read.
func (t *trackReader) track() (*Track, error) {
	switch {
	case !t.found:
		return nil, errors.New("the file has no video or audio track")
	case t.mediaRate == 0 || t.movieRate == 0:
		return nil, errors.New("no timescale")
	case t.entry.codec == "":
		return nil, errors.New("no sample description")
	case t.entry.codec == Opus:
		return nil, errors.New("sound in Opus is read from streams only")
	case (t.entry.codec == AAC) != (t.handler == "soun"):
		return nil, fmt.Errorf("%s in a %q track", t.entry.codec, t.handler)
	}
	samples, err := t.tables.samples(t.size)
	if err != nil {
		return nil, err
	}
	track := &Track{
		Codec: t.entry.codec, Timescale: t.mediaRate, Config: t.entry.config,
		Width: t.entry.width, Height: t.entry.height,
		Channels: t.entry.channels, SampleRate: t.entry.sampleRate,
		Samples: samples,
	}
	return track, t.applyEdits(track)
}

// applyEdits takes the start of the track from the edit list: empty edits, then
// one that presents media. Anything more would need cutting, which is refused.
func (t *trackReader) applyEdits(track *Track) error {
	if t.edits == nil {
		return nil
	}
	presents := false
	for _, e := range t.edits.Entries {
		switch {
		case presents:
			return errors.New("edit list: more than one edit")
		case e.MediaTime == -1:
			delay := int64(min(e.SegmentDuration, 1<<62))
			track.Delay += timebase.MulDiv(delay, int64(t.mediaRate), int64(t.movieRate))
			if track.Delay < 0 || track.Delay > 1<<62 {
				return errors.New("edit list: endless delay")
			}
		case e.MediaTime < 0:
			return fmt.Errorf("edit list: media time %d", e.MediaTime)
		case e.MediaRateInteger != 1 || e.MediaRateFraction != 0:
			return errors.New("edit list: the media is not played at its own speed")
		default:
			presents = true
			track.MediaStart = e.MediaTime
		}
	}
	return nil
}

// maxDescription is the longest sample description that is looked at.
const maxDescription = 1 << 20

// sampleEntry is what the first sample description says.
type sampleEntry struct {
	codec                Codec
	config               []byte
	width, height        int
	channels, sampleRate int
}

// parseDescription reads the payload of stsd.
func parseDescription(stsd []byte) (sampleEntry, error) {
	if len(stsd) < 8 {
		return sampleEntry{}, errors.New("cut short")
	}
	if n := binary.BigEndian.Uint32(stsd[4:]); n != 1 {
		return sampleEntry{}, fmt.Errorf("%d sample descriptions, want one", n)
	}
	r := bytes.NewReader(stsd)
	b, err := readHeader(r, 8, int64(len(stsd)))
	if err != nil {
		return sampleEntry{}, err
	}
	switch b.kind {
	case "avc1", "avc3":
		return parseVisual(stsd, b, H264, "avcC")
	case "hvc1", "hev1":
		return parseVisual(stsd, b, HEVC, "hvcC")
	case "av01":
		return parseVisual(stsd, b, AV1, "av1C")
	case "mp4a":
		return parseAudio(stsd, b)
	case "Opus":
		return parseOpus(stsd, b)
	}
	return sampleEntry{}, fmt.Errorf("sample entry %q is not supported", b.kind)
}

// parseVisual reads a VisualSampleEntry (ISO/IEC 14496-12, 12.1.3).
func parseVisual(stsd []byte, b box, codec Codec, configKind string) (sampleEntry, error) {
	const fields = 78
	if b.end-b.body < fields {
		return sampleEntry{}, fmt.Errorf("%s: cut short", b.kind)
	}
	config, found, err := find(bytes.NewReader(stsd), b.body+fields, b.end, configKind)
	if err != nil {
		return sampleEntry{}, fmt.Errorf("%s: %w", b.kind, err)
	}
	if !found {
		return sampleEntry{}, fmt.Errorf("%s: no %s box", b.kind, configKind)
	}
	body := stsd[b.body:]
	return sampleEntry{
		codec:  codec,
		config: bytes.Clone(stsd[config.body:config.end]),
		width:  int(binary.BigEndian.Uint16(body[24:])),
		height: int(binary.BigEndian.Uint16(body[26:])),
	}, nil
}

// audioFields is how many bytes of an AudioSampleEntry stand before its boxes.
const audioFields = 28

// parseOpus reads an OpusSampleEntry (Encapsulation of Opus in ISOBMFF, 4.3.1).
func parseOpus(stsd []byte, b box) (sampleEntry, error) {
	if b.end-b.body < audioFields {
		return sampleEntry{}, errors.New("sample entry of Opus: cut short")
	}
	dops, found, err := find(bytes.NewReader(stsd), b.body+audioFields, b.end, "dOps")
	switch {
	case err != nil:
		return sampleEntry{}, fmt.Errorf("sample entry of Opus: %w", err)
	case !found || dops.end-dops.body < leastOpus:
		return sampleEntry{}, errors.New("sample entry of Opus: no dOps box")
	}
	config := bytes.Clone(stsd[dops.body:dops.end])
	return sampleEntry{codec: Opus, config: config, channels: int(config[1]), sampleRate: 48000}, nil
}

// parseAudio reads an AudioSampleEntry of MPEG-4 audio (ISO/IEC 14496-12, 12.2.3).
func parseAudio(stsd []byte, b box) (sampleEntry, error) {
	if b.end-b.body < audioFields {
		return sampleEntry{}, errors.New("mp4a: cut short")
	}
	body := stsd[b.body:]
	if version := binary.BigEndian.Uint16(body[8:]); version != 0 {
		return sampleEntry{}, fmt.Errorf("mp4a: QuickTime sound description version %d", version)
	}
	r := bytes.NewReader(stsd)
	esds, found, err := find(r, b.body+audioFields, b.end, "esds")
	if err != nil {
		return sampleEntry{}, fmt.Errorf("mp4a: %w", err)
	}
	if !found {
		return sampleEntry{}, errors.New("mp4a: no esds box")
	}
	descriptor, err := decode[*ff.EsdsBox](r, esds)
	if err != nil {
		return sampleEntry{}, fmt.Errorf("mp4a: %w", err)
	}
	decoder := descriptor.DecConfigDescriptor
	if decoder == nil || decoder.DecSpecificInfo == nil || decoder.ObjectType != ff.ObjectTypeAAC {
		return sampleEntry{}, errors.New("mp4a: not AAC")
	}
	asc := bytes.Clone(decoder.DecSpecificInfo.DecConfig)
	config, err := aac.Parse(asc)
	if err != nil {
		return sampleEntry{}, fmt.Errorf("mp4a: %w", err)
	}
	entry := sampleEntry{codec: AAC, config: asc, channels: config.Channels, sampleRate: config.SampleRate}
	if entry.channels == 0 {
		entry.channels = int(binary.BigEndian.Uint16(body[16:]))
	}
	return entry, nil
}
