package ts

import (
	"testing"

	"liuyun/internal/av/aac"
	"liuyun/internal/av/ts"
	"liuyun/internal/flow/ingest/ingesttest"
)

// The first picture is passed on when the sound is known, and not later than it would
// be without.
func TestHeld(t *testing.T) {
	t.Parallel()
	for name, sound := range map[string]int{"soon": 5, "never": -1} {
		m, err := ts.NewMuxer([]ts.Track{{Codec: ts.H264}, {Codec: ts.AAC}})
		if err != nil {
			t.Fatal(err)
		}
		in := &ingesttest.Input{}
		f := NewFeed(in, quiet())
		first := 0
		for i := range 60 {
			out := m.AppendTables(nil)
			if i == sound {
				h := aac.ADTS{ObjectType: 2, Frequency: 3, Channels: 2}
				out = m.AppendUnit(out, 1, ts.Unit{Data: append(h.AppendTo(nil, 5), "sound"...), PTS: 1, DTS: 1})
			}
			out = m.AppendUnit(out, 0, ts.Unit{Data: []byte("\x00\x00\x01\x65abc"), PTS: int64(i) * 3600, DTS: int64(i) * 3600})
			if err := f.Write(out, now()); err != nil {
				t.Fatal(err)
			}
			if len(in.Pictures) > 0 && first == 0 {
				first = i
			}
		}
		if err := f.Flush(); err != nil {
			t.Fatal(err)
		}
		if want := map[string]int{"soon": 5, "never": 38}[name]; len(in.Pictures) != 60 || first < want || first > want+3 {
			t.Errorf("%s: %d pictures, the first with picture %d, want %d", name, len(in.Pictures), first, want)
		}
	}
}
