package ffmpeg

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"liuyun/internal/base/fault"
)

// maxProbeOutput bounds what ffprobe may say of one file: some thousand streams.
const maxProbeOutput = 16 << 20

// Probe reads what is in a file. A file without any stream, or that is no media,
// is a fault.Invalid that says what is wrong with it.
func (t *Tools) Probe(ctx context.Context, in Input) (*Media, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	var doc probeDocument
	log, err := t.probeJSON(ctx, in, &doc, "-show_format", "-show_streams")
	if err != nil {
		return nil, err
	}
	m := doc.media()
	m.Errors, m.Messages = log.errors, log.texts()
	if len(m.Video)+len(m.Audio)+len(m.Subtitles) == 0 {
		return nil, fault.New(fault.Invalid, "%s has no picture, sound or subtitles in it", in.name())
	}
	m.markEncrypted(in.File)
	for i := range m.Video {
		v := &m.Video[i]
		if v.Transfer != "smpte2084" || v.Encrypted || v.AttachedPicture {
			continue
		}
		if err := t.probeFirstFrame(ctx, in, v); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// probeFirstFrame adds the HDR metadata that only the bitstream has. A stream
// whose first frame cannot be decoded keeps what the container said.
func (t *Tools) probeFirstFrame(ctx context.Context, in Input, v *VideoStream) error {
	var doc probeDocument
	_, err := t.probeJSON(ctx, in, &doc, "-show_frames", "-select_streams", strconv.Itoa(v.Index), "-read_intervals", "%+#1")
	if code := fault.CodeOf(err); code == fault.Canceled || code == fault.Limit {
		return err
	}
	for _, f := range doc.Frames {
		v.addSideData(f.SideData)
	}
	return nil
}

// probeJSON runs ffprobe and decodes what it prints.
func (t *Tools) probeJSON(ctx context.Context, in Input, doc *probeDocument, show ...string) (messageLog, error) {
	out := cappedBuffer{limit: maxProbeOutput}
	log, err := t.runProbe(ctx, in, &out, append(show, "-of", "json=compact=1"), t.config.ProbeLimits)
	switch {
	case errors.Is(err, errTooMuch):
		return log, fault.Wrap(err, fault.Invalid, "%s says more about itself than any real file: it is damaged or made to harm", in.name())
	case err != nil:
		return log, err
	}
	if err := json.Unmarshal(out.buf, doc); err != nil {
		return log, fault.Wrap(err, fault.Internal, "%s: ffprobe's answer makes no sense", in.name())
	}
	return log, nil
}

// Check says whether ffmpeg can decode the stream of the file called name: nil,
// or a fault.Invalid that tells what hinders it.
func (t *Tools) Check(name string, s Stream) error {
	switch {
	case s.Encrypted:
		return fault.New(fault.Invalid, "%s is encrypted: only unprotected media can be used", name)
	case s.Codec != "" && t.CanDecode(s.Codec):
		return nil
	case s.Codec == "vvc" || s.CodecTag == "vvc1" || s.CodecTag == "vvi1":
		return fault.New(fault.Invalid, "%s is H.266/VVC, which this ffmpeg (%s) cannot decode: it needs ffmpeg 7 or later", name, t.Version)
	}
	codec := s.Codec
	if codec == "" {
		codec = "an unknown codec"
		if s.CodecTag != "" {
			codec = fmt.Sprintf("the codec %q", s.CodecTag)
		}
	}
	return fault.New(fault.Invalid, "%s: stream %d is in %s, which this ffmpeg (%s) cannot decode: a newer or fuller build may", name, s.Index, codec, t.Version)
}
