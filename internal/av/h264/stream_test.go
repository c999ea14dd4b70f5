package h264

import (
	"bytes"
	"testing"

	"liuyun/internal/av/bits"
)

func TestSets(t *testing.T) {
	t.Parallel()
	for _, record := range []string{high30, baseline} {
		want := unhex(t, record)
		var s Sets
		if changed, err := s.PutConfig(want); !changed || err != nil {
			t.Fatalf("changed: %v, %v", changed, err)
		}
		got, err := s.Config()
		if !bytes.Equal(got, want) || err != nil || !s.Complete() {
			t.Errorf("Config = %x, %v\nwant %x", got, err, want)
		}
		if changed, err := s.PutConfig(want); changed || err != nil {
			t.Errorf("the same again, changed: %v, %v", changed, err)
		}
		if changed, err := s.PutConfig(unhex(t, high34)); !changed || err != nil {
			t.Errorf("another one, changed: %v, %v", changed, err)
		}
		for _, bad := range [][]byte{nil, want[:5], want[:20], append([]byte{2}, want[1:]...)} {
			if _, err := s.PutConfig(bad); err == nil {
				t.Errorf("%x is taken", bad)
			}
		}
	}
}

func TestLook(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		unit []byte
		want Unit
	}{
		"IDR":              {[]byte{0x65, 0x88, 0x84}, Unit{Role: bits.Slice, IDR: true, Intra: true}},
		"P":                {[]byte{0x41, 0x9a, 0x24}, Unit{Role: bits.Slice}},
		"I of all slices":  {[]byte{0x41, 0x88, 0x80}, Unit{Role: bits.Slice, Intra: true}},
		"its second slice": {[]byte{0x41, 0x40, 0x80}, Unit{Role: bits.Slice}},
		"B":                {[]byte{0x01, 0x9e, 0x24}, Unit{Role: bits.Slice}},
		"empty":            {[]byte{0x41}, Unit{Role: bits.Slice}},
		"sequence":         {[]byte{0x67, 0x42}, Unit{Role: bits.Parameters}},
		"delimiter":        {[]byte{0x09, 0xf0}, Unit{Role: bits.Left}},
		"message":          {[]byte{0x06, 5, 1, 0, 0x80}, Unit{}},
		"recovery":         {[]byte{0x06, 5, 1, 0, 6, 1, 0xc4, 0x80}, Unit{Recovers: true}},
		"recovery, later":  {[]byte{0x06, 6, 1, 0x24, 0x80}, Unit{}},
		"recovery, short":  {[]byte{0x06, 6, 9, 0x84}, Unit{}},
		"size without end": {[]byte{0x06, 0xff, 0xff, 0xff}, Unit{}},
	} {
		if got := Look(test.unit); got != test.want {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
	}
}

// Whatever comes: it is bounded, and what is made of it can be read again.
func FuzzSets(f *testing.F) {
	f.Add(unhex(f, high30))
	f.Add(unhex(f, baseline))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 0 {
			Look(data)
		}
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
	})
}
