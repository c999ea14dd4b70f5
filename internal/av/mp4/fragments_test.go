package mp4

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Whole fragments are found, and what follows the last one is not taken for one.
func TestReadFragments(t *testing.T) {
	t.Parallel()
	first, second := fragmentOf(testPictures(5)), fragmentOf([]Sample{{Duration: 512}, {Duration: 100}})
	second.DecodeTime = 1<<33 + 5000
	head := []byte("\x00\x00\x00\x0cprft1234")
	one, err := AppendFragment(nil, first)
	if err != nil {
		t.Fatal(err)
	}
	both, err := AppendFragment(append(bytes.Clone(one), head...), second)
	if err != nil {
		t.Fatal(err)
	}
	want := []Piece{
		{Size: int64(len(one)), DecodeTime: 1 << 33, Duration: duration(first.Samples), Key: first.Samples[0].Sync},
		{Offset: int64(len(one)), Size: int64(len(both) - len(one)), DecodeTime: 1<<33 + 5000, Duration: 612},
	}
	for cut := 0; cut <= len(both); cut++ {
		n := 0
		for n < len(want) && want[n].Offset+want[n].Size <= int64(cut) {
			n++
		}
		got := ReadFragments(bytes.NewReader(both[:cut]), int64(cut))
		if diff := cmp.Diff(want[:n], append([]Piece{}, got...)); diff != "" {
			t.Fatalf("%d bytes of %d (-want +got):\n%s", cut, len(both), diff)
		}
	}
	if got := ReadFragments(bytes.NewReader([]byte("no fragment at all")), 18); got != nil {
		t.Errorf("found %v", got)
	}
}

func FuzzReadFragments(f *testing.F) {
	data, err := AppendFragment(nil, fragmentOf(testSound(3)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(append(data, data[:40]...))
	f.Fuzz(func(t *testing.T, data []byte) {
		at := int64(0)
		for _, p := range ReadFragments(bytes.NewReader(data), int64(len(data))) {
			if p.Offset != at || p.Size < 16 || p.Duration <= 0 || p.DecodeTime < 0 {
				t.Errorf("piece %+v after byte %d", p, at)
			}
			at += p.Size
		}
		if at > int64(len(data)) {
			t.Errorf("%d bytes of %d", at, len(data))
		}
	})
}
