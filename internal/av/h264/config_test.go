package h264

import (
	"bytes"
	"testing"
)

// sets are those of pictures of 1920 × 1080, 60 a second.
func sets() (sequence, picture []byte) {
	return []byte{
		0x67, 0x42, 0xc0, 0x28, 0xd9, 0x00, 0x78, 0x02, 0x27, 0xe5, 0x84, 0x00, 0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc9, 0x20,
	}, []byte{0x68, 0xce, 0x3c, 0x80}
}

func TestConfigOfSets(t *testing.T) {
	t.Parallel()
	sequence, picture := sets()
	config, err := Config([][]byte{sequence}, [][]byte{picture})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(config, sequence) || !bytes.Contains(config, picture) {
		t.Errorf("%x lacks a set", config)
	}
	if name, err := CodecString(config); name != "avc1.42c028" || err != nil {
		t.Errorf("it is called %q, %v", name, err)
	}
	f, err := FormatOf(config)
	if err != nil || f.Width != 1920 || f.Height != 1080 || f.Ticks == 0 || f.Scale/f.Ticks != 30 {
		t.Errorf("it says %+v, %v", f, err)
	}
	for _, wrong := range [][2][][]byte{{nil, {picture}}, {{sequence}, nil}, {{{0x67}}, {picture}}, {{picture}, {sequence}}} {
		if config, err := Config(wrong[0], wrong[1]); err == nil {
			if f, err := FormatOf(config); err == nil {
				t.Errorf("of %x came %+v", wrong, f)
			}
		}
	}
}

// Parameter sets of strangers are read without harm.
func FuzzFormatOf(f *testing.F) {
	sequence, picture := sets()
	f.Add(sequence, picture)
	f.Fuzz(func(t *testing.T, sequence, picture []byte) {
		config, err := Config([][]byte{sequence}, [][]byte{picture})
		if err != nil {
			return
		}
		if f, err := FormatOf(config); err == nil && (f.Width <= 0 || f.Height <= 0) {
			t.Fatalf("%x says %+v", sequence, f)
		}
	})
}
