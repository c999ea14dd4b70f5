package aac

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestADTS(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		config []byte
		want   ADTS
		core   []byte
	}{
		"stereo":      {[]byte{0x11, 0x90}, ADTS{ObjectType: 2, Frequency: 3, Channels: 2, Header: 7, Blocks: 1}, []byte{0x11, 0x90}},
		"mono 44100":  {[]byte{0x12, 0x08}, ADTS{ObjectType: 2, Frequency: 4, Channels: 1, Header: 7, Blocks: 1}, []byte{0x12, 0x08}},
		"five one":    {[]byte{0x11, 0xb0}, ADTS{ObjectType: 2, Frequency: 3, Channels: 6, Header: 7, Blocks: 1}, []byte{0x11, 0xb0}},
		"he-aac 24k":  {[]byte{0x2b, 0x11, 0x88, 0x00}, ADTS{ObjectType: 2, Frequency: 6, Channels: 2, Header: 7, Blocks: 1}, []byte{0x13, 0x10}},
		"with frames": {[]byte{0x11, 0x90, 0x56, 0xe5}, ADTS{ObjectType: 2, Frequency: 3, Channels: 2, Header: 7, Blocks: 1}, []byte{0x11, 0x90}},
	} {
		h, err := ADTSOf(tt.config)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(tt.want, h); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if core := h.Config(); !cmp.Equal(core[:], tt.core) {
			t.Errorf("%s: core %x, want %x", name, core, tt.core)
		}
		back, err := ParseADTS(h.AppendTo(nil, 345))
		h.Size = 352
		if diff := cmp.Diff(h, back); err != nil || diff != "" {
			t.Errorf("%s: %v %s", name, err, diff)
		}
	}
	for name, config := range map[string][]byte{"empty": nil, "short": {0x11}, "usac": {0xf9, 0x80, 0}, "rate in full": {0x17, 0x80, 0, 0, 0}, "channels by the frame": {0x11, 0x80}} {
		if h, err := ADTSOf(config); err == nil {
			t.Errorf("%s: got %+v", name, h)
		}
	}
}

func FuzzParseADTS(f *testing.F) {
	f.Add([]byte{0xff, 0xf1, 0x4c, 0x80, 0x2c, 0x1f, 0xfc})
	f.Add([]byte{0xff, 0xf0, 0x4c, 0x80, 0x2c, 0x1f, 0xfc, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseADTS(b)
		if err != nil {
			return
		}
		if h.Size < h.Header || h.SampleRate() == 0 {
			t.Errorf("%+v", h)
		}
		config := h.Config()
		if _, err := Parse(config[:]); err != nil && h.ObjectType == 2 {
			t.Errorf("%+v: %v", h, err)
		}
	})
}
