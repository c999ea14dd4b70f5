package av1

import "testing"

func TestLook(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		obu  []byte
		want Unit
		ok   bool
	}{
		"sequence":            {unhex(t, inSVT), Unit{Sequence: true}, true},
		"delimiter":           {[]byte{0x12, 0}, Unit{Left: true}, true},
		"key frame":           {[]byte{0x32, 1, 0x10}, Unit{Frame: true, Key: true}, true},
		"hidden key frame":    {[]byte{0x32, 1, 0x00}, Unit{Frame: true}, true},
		"other frame":         {[]byte{0x32, 1, 0x30}, Unit{Frame: true}, true},
		"one of before":       {[]byte{0x1a, 1, 0x80}, Unit{Frame: true}, true},
		"of an upper layer":   {[]byte{0x36, 0x08, 1, 0x10}, Unit{}, true},
		"metadata":            {[]byte{0x2a, 1, 1}, Unit{}, true},
		"no size":             {[]byte{0x30, 0x10}, Unit{}, false},
		"another size":        {[]byte{0x32, 2, 0x10}, Unit{}, false},
		"frame without bytes": {[]byte{0x32, 0}, Unit{}, false},
		"nothing":             {nil, Unit{}, false},
	} {
		if got, err := Look(test.obu); got != test.want || (err == nil) != test.ok {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, test.want)
		}
	}
}

func TestSplit(t *testing.T) {
	t.Parallel()
	got, err := Split(nil, []byte{0x12, 0, 0x32, 2, 0x10, 7, 0x36, 0x08, 1, 0x10})
	if err != nil || len(got) != 3 || len(got[0]) != 2 || len(got[1]) != 4 || len(got[2]) != 4 {
		t.Errorf("%x, %v", got, err)
	}
	for _, bad := range [][]byte{{0x12}, {0x32, 9, 1}, {0x30, 1}} {
		if got, err := Split(nil, bad); err == nil {
			t.Errorf("%x is split into %x", bad, got)
		}
	}
}

func TestFormatOf(t *testing.T) {
	t.Parallel()
	got, err := FormatOf(unhex(t, aom))
	if err != nil || got.Width != 192 || got.Height != 108 {
		t.Errorf("FormatOf = %+v, %v", got, err)
	}
	if f, err := FormatOf([]byte{0x81, 0, 0xc, 0}); err == nil {
		t.Errorf("a record without a header is of %+v", f)
	}
}

func FuzzLook(f *testing.F) {
	f.Add(unhex(f, inSVT))
	f.Add([]byte{0x12, 0, 0x32, 2, 0x10, 7})
	f.Fuzz(func(t *testing.T, data []byte) {
		units, err := Split(nil, data)
		if err != nil {
			return
		}
		for _, unit := range units {
			_, _ = Look(unit) // must return
		}
		if config, err := ConfigFromSample(data); err == nil {
			if _, err := FormatOf(config); err != nil {
				t.Fatal(err)
			}
		}
	})
}
