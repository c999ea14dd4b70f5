package h264

import "testing"

// sliceSets is the configuration of pictures that x264 made of 64 × 36 samples, with
// weighted prediction.
const sliceSets = "0164000affe100176764000aacb423fcf8088000000300800000190789135001000468ef3cb0fdf8f800"

func TestQP(t *testing.T) {
	t.Parallel()
	s, err := NewSlices(unhex(t, sliceSets))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, data string
		want       int
		bad        bool
	}{
		{"an IDR picture, three steps finer", "00000013 65888409ff8d7042554046a3945b6b3e077161", 17, false},
		{"the next", "00000008419a26237fe475a0", 20, false},
		{"one with four references", "00000013 419a86237f628a803dd2652fdc543d8dc3e736", 20, false},
		{"an IDR picture at 33", "00000013 65888411ffd2acfd78d9d39d8e0df7f38368a6", 30, false},
		{"the next at 33", "00000007419a2623bf19b0", 33, false},
		{"behind a message", "00000002 0605 00000007419a4623bf19b1", 33, false},
		{"no slice", "00000002 0605", 0, true},
		{"cut", "00000003 419a26", 0, true},
		{"a B slice", "00000007 419e2623bf19b0", 0, true},
		{"no unit", "00000009 41", 0, true},
	} {
		got, err := s.QP(unhex(t, test.data))
		if got != test.want || (err != nil) != test.bad {
			t.Errorf("%s: got %d, %v, want %d", test.name, got, err, test.want)
		}
	}
	for _, bad := range []string{"", "01", "0164000affe1000067640001000468ef3cb0"} {
		if _, err := NewSlices(unhex(t, bad)); err == nil {
			t.Errorf("configuration %q: got no error", bad)
		}
	}
}

func FuzzQP(f *testing.F) {
	for _, data := range []string{"0000000865888409ff8d7042", "00000008419a26237fe475a0", "00000007419a2623bf19b0"} {
		f.Add(unhex(f, sliceSets), unhex(f, data))
	}
	f.Fuzz(func(t *testing.T, config, data []byte) {
		s, err := NewSlices(config)
		if err != nil {
			return
		}
		if qp, err := s.QP(data); err == nil && (qp < -48 || qp > 51) {
			t.Errorf("a quantiser of %d", qp)
		}
	})
}
