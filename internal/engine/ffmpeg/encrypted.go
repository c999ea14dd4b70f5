package ffmpeg

import (
	"encoding/binary"
	"io"
	"slices"
	"strings"
)

// ffmpeg shows a protected MP4 track (ISO/IEC 14496-12 §8.12) under the name of
// the codec beneath the protection. So the sample entries are read here: from
// each moov/trak/mdia/minf/stbl/stsd, the type of the first entry. Headers only,
// and no more than maxBoxes of them.
const maxBoxes = 10_000

// markEncrypted marks the streams of an MP4 whose sample entries say protected.
func (m *Media) markEncrypted(r io.ReaderAt) {
	if !strings.HasPrefix(m.Format, "mov,") {
		return
	}
	protected := protectedTracks(r, m.Size)
	mark := func(s *Stream) {
		if s.Index < len(protected) && protected[s.Index] {
			s.Encrypted = true
		}
	}
	for i := range m.Video {
		mark(&m.Video[i].Stream)
	}
	for i := range m.Audio {
		mark(&m.Audio[i].Stream)
	}
	for i := range m.Subtitles {
		mark(&m.Subtitles[i].Stream)
	}
}

// protectedTracks reports for each track in order, which is ffmpeg's order of
// streams, whether its first sample entry is a protected one.
func protectedTracks(r io.ReaderAt, size int64) []bool {
	w := boxWalker{r: r, left: maxBoxes}
	var tracks []bool
	w.each(0, size, "moov", func(moov, end int64) {
		w.each(moov, end, "trak", func(trak, end int64) {
			tracks = append(tracks, false)
			w.descend(trak, end, []string{"mdia", "minf", "stbl", "stsd"}, func(stsd, end int64) {
				const versionAndCount = 8
				if entry := w.header(stsd+versionAndCount, end); slices.Contains([]string{"encv", "enca", "enct", "encs", "drms", "drmi"}, entry.kind) {
					tracks[len(tracks)-1] = true
				}
			})
		})
	})
	return tracks
}

// boxWalker reads box headers. It stops, silently, at what makes no sense: the
// demuxer has already judged the file.
type boxWalker struct {
	r    io.ReaderAt
	left int // headers that may still be read
}

// box is a header: body and next are offsets.
type box struct {
	kind       string // "" at the end or where it makes no sense
	body, next int64
}

func (w *boxWalker) header(at, end int64) box {
	var b [16]byte
	if w.left--; w.left < 0 || at < 0 || end-at < 8 {
		return box{}
	}
	if _, err := w.r.ReadAt(b[:8], at); err != nil {
		return box{}
	}
	out := box{kind: string(b[4:8]), body: at + 8}
	size := int64(binary.BigEndian.Uint32(b[:4]))
	switch size {
	case 0: // to the end of the file
		size = end - at
	case 1: // 64 bits follow
		if _, err := w.r.ReadAt(b[8:], at+8); err != nil {
			return box{}
		}
		size = int64(binary.BigEndian.Uint64(b[8:]))
		out.body += 8
	}
	if size < out.body-at || size > end-at {
		return box{}
	}
	out.next = at + size
	return out
}

// each calls visit with the body of every box of the kind in [from, end).
func (w *boxWalker) each(from, end int64, kind string, visit func(body, end int64)) {
	for {
		b := w.header(from, end)
		if b.kind == "" {
			return
		}
		if b.kind == kind {
			visit(b.body, b.next)
		}
		from = b.next
	}
}

// descend calls visit with the body of every box at the end of the path.
func (w *boxWalker) descend(from, end int64, path []string, visit func(body, end int64)) {
	if len(path) == 0 {
		visit(from, end)
		return
	}
	w.each(from, end, path[0], func(body, end int64) { w.descend(body, end, path[1:], visit) })
}
