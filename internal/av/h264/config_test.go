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

func TestRepack(t *testing.T) {
	t.Parallel()
	sequence, picture := sets()
	units := [][]byte{{9, 0xf0}, sequence, picture, {6, 5, 0}, {0x65, 0x88, 1}, {0x65, 0x08, 2}, {12, 0xff}}
	want := []byte{0, 0, 0, 3, 6, 5, 0, 0, 0, 0, 3, 0x65, 0x88, 1, 0, 0, 0, 3, 0x65, 0x08, 2}
	for _, size := range []int{1, 2, 4} {
		var data []byte
		for _, unit := range units {
			data = append(append(data, make([]byte, size-1)...), byte(len(unit)))
			data = append(data, unit...)
		}
		r, err := Repack(data, size)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(r.Data, want) || !r.RandomAccess || r.Slices != 2 {
			t.Errorf("with lengths of %d bytes: %+v", size, r)
		}
		if len(r.Sequence) != 1 || !bytes.Equal(r.Sequence[0], sequence) || len(r.Picture) != 1 || !bytes.Equal(r.Picture[0], picture) {
			t.Errorf("with lengths of %d bytes the sets are %x, %x", size, r.Sequence, r.Picture)
		}
	}
	other, err := Repack([]byte{0, 0, 0, 2, 0x41, 0x9a}, 4)
	if err != nil || other.RandomAccess || other.Slices != 1 {
		t.Errorf("a picture that refers to others: %+v, %v", other, err)
	}
	if _, err := Repack([]byte{0, 0, 0, 9, 1}, 4); err == nil {
		t.Error("a unit longer than the sample: no error")
	}
}

// Whatever is sent, what is passed on is well formed.
func FuzzRepack(f *testing.F) {
	f.Add([]byte{0, 0, 0, 2, 0x65, 0x88, 0, 0, 0, 1, 9}, 4)
	f.Add([]byte{2, 0x41, 0x9a, 1, 0x67}, 1)
	f.Fuzz(func(t *testing.T, data []byte, size int) {
		r, err := Repack(bytes.Clone(data), size)
		if err != nil {
			return
		}
		again, err := Repack(bytes.Clone(r.Data), 4)
		if err != nil || !bytes.Equal(again.Data, r.Data) || again.Slices != r.Slices || again.RandomAccess != r.RandomAccess {
			t.Fatalf("%x became %+v, and that %+v, %v", data, r, again, err)
		}
	})
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
