package h264

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/Eyevinn/mp4ff/avc"
)

// Records that x264 wrote, at 192×108: High with a constant rate factor of 30,
// the same of 34, and Baseline.
const (
	high30   = "0164000bffe100196764000bacd9430ffbc044000003000400000300c83c50a65801000668ebe112c8b0fdf8f800"
	high34   = "0164000bffe100196764000bacd9430ffbc044000003000400000300c83c50a65801000668ebe084b22cfdf8f800"
	baseline = "0142c00bffe100186742c00bd9030ffbc044000003000400000300c83c50a92001000568cb83cb20"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	data, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestCodecString(t *testing.T) {
	t.Parallel()
	tests := []struct{ config, want, wantErr string }{
		{high30, "avc1.64000b", ""},
		{baseline, "avc1.42c00b", ""},
		{"", "", "too short"},
		{"0264000bffe0", "", "version 2"},
		{high30[:40], "", "not enough data"},
	}
	for _, tt := range tests {
		got, err := CodecString(unhex(t, tt.config))
		if got != tt.want || (err == nil) != (tt.wantErr == "") || (err != nil && !strings.Contains(err.Error(), tt.wantErr)) {
			t.Errorf("CodecString(%s) = %q, %v, want %q, %q", tt.config, got, err, tt.want, tt.wantErr)
		}
	}
}

func TestWithLevel(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ config, level, want, wantErr string }{
		{high30, "4.1", "avc1.640029", ""},
		{high30, "4", "avc1.640028", ""},
		{baseline, "3.1", "avc1.42c01f", ""},
		{high30, "high", "", "is none"},
		{"", "4", "", "too short"},
		{"01640028ffe1000367640001000168fdf8f800", "4", "", "ends before its level"},
	} {
		before := unhex(t, tt.config)
		got, err := WithLevel(before, tt.level)
		if tt.wantErr != "" {
			if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("WithLevel(%s, %s): got error %v, want %q", tt.config, tt.level, err, tt.wantErr)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if name, err := CodecString(got); name != tt.want || err != nil {
			t.Errorf("WithLevel(%s, %s) is %s (%v), want %s", tt.config, tt.level, name, err, tt.want)
		}
		rec, err := avc.DecodeAVCDecConfRec(got)
		if err != nil {
			t.Fatal(err)
		}
		sps, err := avc.ParseSPSNALUnit(rec.SPSnalus[0], false)
		if err != nil || uint32(sps.Level) != uint32(rec.AVCLevelIndication) {
			t.Errorf("the parameter set has level %v (%v), the record %d", sps, err, rec.AVCLevelIndication)
		}
		if back, err := WithLevel(got, "1.1"); err != nil || !bytes.Equal(back, before) {
			t.Errorf("got %x back (%v), want %x", back, err, before)
		}
	}
}

func TestSameConfig(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, a, b string
		want       bool
	}{
		{"itself", high30, high30, true},
		{"trailing bytes", high30, high30 + "00", true},
		{"rate factor in the picture parameter set", high30, high34, false},
		{"profile", high30, baseline, false},
		{"malformed", high30, "01", false},
		{"malformed alike", "01", "01", true},
	}
	for _, tt := range tests {
		if got := SameConfig(unhex(t, tt.a), unhex(t, tt.b)); got != tt.want {
			t.Errorf("%s: SameConfig = %t, want %t", tt.name, got, tt.want)
		}
	}
}

func TestInspectSample(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, data string
		lengthSize int
		want       Inspection
		wantErr    string
	}{
		{"empty", "", 4, Inspection{}, ""},
		{"idr of two slices after an sei", "00000002 0605 00000003 658880 00000003 654f00", 4, Inspection{1, true}, ""},
		{"p picture", "00000002 4188", 4, Inspection{1, false}, ""},
		{"i picture with a recovery point", "0003 060605 0002 4188", 2, Inspection{1, false}, ""},
		{"data partition", "00000002 4288", 4, Inspection{1, false}, ""},
		{"field pair that starts with an idr", "00000002 6588 00000002 4188", 4, Inspection{2, true}, ""},
		{"field pair that ends with an idr", "00000002 4188 00000002 6588", 4, Inspection{2, false}, ""},
		{"no picture", "00000002 0605", 4, Inspection{}, ""},
		{"slice without a header", "00000001 65", 4, Inspection{}, "h264 sample: slice without a header"},
		{"cut short", "00000009 65", 4, Inspection{}, "h264 sample: nal unit at byte 0: 9 bytes, 1 left in the sample"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := InspectSample(unhex(t, tt.data), tt.lengthSize)
			gotErr := ""
			if err != nil {
				gotErr = err.Error()
			}
			if got != tt.want || gotErr != tt.wantErr {
				t.Errorf("InspectSample = %+v, %q, want %+v, %q", got, gotErr, tt.want, tt.wantErr)
			}
		})
	}
}

func FuzzInspectSample(f *testing.F) {
	f.Add(unhex(f, "00000002060500000003658880"), 4)
	f.Add(unhex(f, "000306060500024188"), 2)
	f.Add(unhex(f, "0165"), 1)
	f.Fuzz(func(t *testing.T, data []byte, lengthSize int) {
		in, err := InspectSample(data, lengthSize)
		if err == nil && (in.Pictures > len(data)/2 || in.RandomAccess && in.Pictures == 0) {
			t.Errorf("InspectSample = %+v of %d bytes", in, len(data))
		}
	})
}

func FuzzCodecString(f *testing.F) {
	f.Add(unhex(f, high30))
	f.Add(unhex(f, baseline))
	f.Fuzz(func(t *testing.T, config []byte) {
		name, err := CodecString(config)
		if err == nil && len(name) != len("avc1.64000b") {
			t.Errorf("CodecString = %q", name)
		}
		if !SameConfig(config, config) {
			t.Error("a configuration differs from itself")
		}
		if other, err := WithLevel(config, "4.1"); err == nil && len(other) != len(config) {
			t.Errorf("another level makes %d bytes of %d", len(other), len(config))
		}
	})
}

// Parameter sets come before the pictures, behind what may only come first.
func TestWithParameterSets(t *testing.T) {
	t.Parallel()
	config := unhex(t, baseline)
	const sets = "00000018 6742c00bd9030ffbc044000003000400000300c83c50a920 00000005 68cb83cb20"
	for sample, want := range map[string]string{
		"00000002 6588": sets + "00000002 6588",
		"00000002 0910 00000002 0605 00000001 65": "00000002 0910" + sets + "00000002 0605 00000001 65",
		"00000003 6588": "00000003 6588", // cut off
		"":              "",
	} {
		if got := WithParameterSets(unhex(t, sample), config); !bytes.Equal(got, unhex(t, want)) {
			t.Errorf("%s: got %x", sample, got)
		}
	}
	sample := unhex(t, "00000002 6588")
	if got := WithParameterSets(sample, []byte("?")); !bytes.Equal(got, sample) {
		t.Errorf("with a damaged configuration: %x", got)
	}
}
