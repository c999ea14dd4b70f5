package ts

import (
	"bytes"
	"slices"
	"testing"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts"

	"liuyun/internal/av/ts"
	"liuyun/internal/base/fault"
	"liuyun/internal/flow/ingest/ingesttest"
)

// FuzzFeed takes what an attacker with a key may send.
func FuzzFeed(f *testing.F) {
	m, err := ts.NewMuxer([]ts.Track{{Codec: ts.H264}, {Codec: ts.AAC}})
	if err != nil {
		f.Fatal(err)
	}
	stream := m.AppendTables(nil)
	stream = m.AppendUnit(stream, 0, ts.Unit{Data: []byte("\x00\x00\x01\x09\xf0\x00\x00\x01\x65abc"), Key: true})
	stream = m.AppendUnit(stream, 1, ts.Unit{Data: []byte("\xff\xf1\x4c\x80\x01\x7f\xfcabcd")})
	f.Add(stream)
	m, err = ts.NewMuxer([]ts.Track{{Codec: ts.Opus, Channels: 2}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(m.AppendUnit(m.AppendTables(nil), 0, ts.Unit{Data: []byte("\x7f\xe0\x02\xf8a\x7f\xe0\x01\xfc")}))
	f.Fuzz(func(t *testing.T, data []byte) {
		in := &ingesttest.Input{}
		feed := NewFeed(in, quiet())
		if err := feed.Write(slices.Concat(data, data), now()); err != nil && fault.CodeOf(err) != fault.Invalid {
			t.Fatal(err)
		}
		total := 0
		for _, s := range in.Sounds {
			total += len(s.Data)
		}
		for _, p := range in.Pictures {
			for _, u := range p.Units {
				total += len(u)
			}
		}
		if total > 2*len(data) {
			t.Errorf("%d bytes of %d", total, 2*len(data))
		}
	})
}

// Ours beside the reader that most servers in Go use: go test -bench Reader.
func BenchmarkReader(b *testing.B) {
	stream := avc(b)
	b.Run("ours", func(b *testing.B) {
		b.SetBytes(int64(len(stream)))
		b.ReportAllocs()
		for b.Loop() {
			f := NewFeed(&counting{}, quiet())
			for part := range slices.Chunk(stream, 1316) {
				if err := f.Write(part, now()); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("mediacommon", func(b *testing.B) {
		b.SetBytes(int64(len(stream)))
		b.ReportAllocs()
		for b.Loop() {
			r := &mpegts.Reader{R: bytes.NewReader(stream)}
			if err := r.Initialize(); err != nil {
				b.Fatal(err)
			}
			r.OnDataH264(r.Tracks()[0], func(int64, int64, [][]byte) error { return nil })
			r.OnDataMPEG4Audio(r.Tracks()[1], func(int64, [][]byte) error { return nil })
			for r.Read() == nil {
			}
		}
	})
}
