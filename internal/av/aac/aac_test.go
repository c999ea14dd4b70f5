package aac

import (
	"encoding/hex"
	"strings"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	data, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestParse(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, asc string
		want      Config
		wantErr   string
	}{
		{"stereo", "1210", Config{2, 44100, 2}, ""},
		{"with an extension of ffmpeg", "119056e500", Config{2, 48000, 2}, ""},
		{"5.1", "11b0", Config{2, 48000, 6}, ""},
		{"7.1", "11b8", Config{2, 48000, 8}, ""},
		{"6.1", "11d8", Config{2, 48000, 7}, ""},
		{"5.1 with the surrounds at the sides", "1200050844002000c40d4c61766335392e33372e31303056e500", Config{2, 44100, 6}, ""},
		{"explicit rate", "1781770010", Config{2, 192000, 2}, ""},
		{"he-aac", "2b920800", Config{5, 44100, 2}, ""},
		{"xhe-aac", "f94640", Config{42, 48000, 2}, ""},
		{"he-aac cut short", "2b92", Config{}, "audio specific config"},
		{"no object type", "021000", Config{}, "object type 0 at 44100 Hz"},
		{"reserved channels", "11f8", Config{}, "reserved channel configuration 15"},
		{"reserved rate", "1690", Config{}, "strange frequency index"},
		{"empty", "", Config{}, "too short"},
		{"cut short program config element", "120005", Config{}, "program config element"},
	}
	for _, tt := range tests {
		got, err := Parse(unhex(t, tt.asc))
		if got != tt.want || (err == nil) != (tt.wantErr == "") || (err != nil && !strings.Contains(err.Error(), tt.wantErr)) {
			t.Errorf("%s: Parse = %+v, %v, want %+v, %q", tt.name, got, err, tt.want, tt.wantErr)
		}
	}
}

func TestCodecString(t *testing.T) {
	t.Parallel()
	for asc, want := range map[string]string{"1210": "mp4a.40.2", "2b920800": "mp4a.40.5", "f94640": "mp4a.40.42"} {
		if got, err := CodecString(unhex(t, asc)); got != want || err != nil {
			t.Errorf("CodecString(%s) = %q, %v, want %q", asc, got, err, want)
		}
	}
	if got, err := CodecString(nil); err == nil {
		t.Errorf("CodecString of nothing = %q", got)
	}
}

func FuzzCodecString(f *testing.F) {
	f.Add(unhex(f, "1210"))
	f.Add(unhex(f, "2b920800"))
	f.Add(unhex(f, "1200050844002000c40d4c61766335392e33372e31303056e500"))
	f.Fuzz(func(t *testing.T, asc []byte) {
		name, err := CodecString(asc)
		if err != nil {
			return
		}
		c, err := Parse(asc)
		if err != nil || !strings.HasPrefix(name, "mp4a.40.") || c.SampleRate <= 0 || c.Channels < 0 || c.Channels > 128 {
			t.Errorf("%q, %+v, %v", name, c, err)
		}
	})
}
