package h265

import (
	"bytes"
	"testing"

	"liuyun/internal/av/bits"
)

func TestSets(t *testing.T) {
	t.Parallel()
	want := unhex(t, main8)
	var s Sets
	if s.Complete() {
		t.Error("nothing is complete")
	}
	if changed, err := s.PutConfig(unhex(t, message)); !changed || err != nil {
		t.Fatalf("changed: %v, %v", changed, err)
	}
	got, err := s.Config()
	if !bytes.Equal(got, want) || err != nil {
		t.Errorf("Config = %x, %v\nwant %x", got, err, want)
	}
	if changed, err := s.PutConfig(want); changed || err != nil {
		t.Errorf("the same again, changed: %v, %v", changed, err)
	}
	if changed, err := s.PutConfig(unhex(t, other)); !changed || err != nil {
		t.Errorf("another one, changed: %v, %v", changed, err)
	}
	for _, bad := range [][]byte{nil, want[:22], want[:40], append([]byte{2}, want[1:]...)} {
		if _, err := s.PutConfig(bad); err == nil {
			t.Errorf("%x is taken", bad)
		}
	}
}

func TestFormatOf(t *testing.T) {
	t.Parallel()
	got, err := FormatOf(unhex(t, main8))
	if want := (Format{Width: 192, Height: 108, Ticks: 1, Scale: 25}); got != want || err != nil {
		t.Errorf("FormatOf = %+v, %v, want %+v", got, err, want)
	}
	if f, err := FormatOf(unhex(t, main10)); err == nil {
		t.Errorf("a record without sets is of %+v", f)
	}
}

func TestLook(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		unit []byte
		want Unit
	}{
		"trailing":        {[]byte{0x02, 1, 0x80}, Unit{Role: bits.Slice}},
		"its second part": {[]byte{0x02, 1, 0x40}, Unit{Role: bits.Slice}},
		"IDR":             {[]byte{19 << 1, 1, 0x80}, Unit{Role: bits.Slice, IDR: true}},
		"CRA":             {[]byte{21 << 1, 1, 0x80}, Unit{Role: bits.Slice, Recovers: true}},
		"sequence":        {[]byte{33 << 1, 1, 0}, Unit{Role: bits.Parameters}},
		"delimiter":       {[]byte{35 << 1, 1, 0x50}, Unit{Role: bits.Left}},
		"message":         {[]byte{39 << 1, 1, 0}, Unit{}},
		"other layer":     {[]byte{19 << 1, 9, 0x80}, Unit{Role: bits.Left}},
		"short":           {[]byte{0x02, 1}, Unit{Role: bits.Slice}},
	} {
		if got := Look(test.unit); got != test.want {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
	}
}

// Whatever comes: it is bounded, and what is made of it can be read again.
func FuzzSets(f *testing.F) {
	f.Add(unhex(f, main8))
	f.Add(unhex(f, other))
	f.Fuzz(func(t *testing.T, data []byte) {
		var s Sets
		if _, err := s.PutConfig(data); err != nil || !s.Complete() {
			return
		}
		config, err := s.Config()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := FormatOf(config); err != nil {
			t.Fatal(err)
		}
		if _, err := CodecString(config); err != nil {
			t.Fatal(err)
		}
	})
}
