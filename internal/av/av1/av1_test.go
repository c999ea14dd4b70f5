package av1

import (
	"encoding/hex"
	"strings"
	"testing"
)

// Records at 192×108: of libaom, of SVT-AV1 1.4 (whose header is not the one
// that it writes into its samples), and of SVT-AV1 for HDR.
const (
	aom   = "81000c000a0a00000003b5feb36be401"
	svt   = "81000c000a0a00000003b5feb00be001"
	pq    = "81004c000a0d00000003b5feb00be142440241"
	inSVT = "0a0a00000003b5feb3efe401" // the sequence header in SVT-AV1's samples
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
	tests := []struct{ name, config, want, wantErr string }{
		{"colour not specified", aom, "av01.0.00M.08", ""},
		{"pq", pq, "av01.0.00M.10.0.110.09.16.09.0", ""},
		{"no sequence header", "81090c00", "av01.0.09M.08", ""},
		{"high tier without one", "81108c00", "av01.0.16H.08", ""},
		{"version", "82000c00", "", "av1 decoder configuration"},
		{"empty", "", "", "too small"},
		{"header cut short", aom[:20], "", "obu of 10 bytes, 4 left in the sample"},
		{"header too short", "81000c00 0a0100", "", "av1 seqhdr"},
	}
	for _, tt := range tests {
		got, err := CodecString(unhex(t, tt.config))
		if got != tt.want || (err == nil) != (tt.wantErr == "") || (err != nil && !strings.Contains(err.Error(), tt.wantErr)) {
			t.Errorf("%s: CodecString = %q, %v, want %q, %q", tt.name, got, err, tt.want, tt.wantErr)
		}
	}
}

func TestSameConfig(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, a, b string
		want       bool
	}{
		{"itself", aom, aom, true},
		{"metadata more", aom, aom + "2a0101", true},
		{"another header", aom, svt, false},
		{"no header", aom, "81000c00", false},
		{"malformed", aom, "81", false},
		{"malformed alike", "81", "81", true},
	}
	for _, tt := range tests {
		if got := SameConfig(unhex(t, tt.a), unhex(t, tt.b)); got != tt.want {
			t.Errorf("%s: SameConfig = %t, want %t", tt.name, got, tt.want)
		}
	}
}

func TestConfigFromSample(t *testing.T) {
	t.Parallel()
	got, err := ConfigFromSample(unhex(t, "1200"+inSVT+"320114"))
	if want := "81000c00" + inSVT; err != nil || hex.EncodeToString(got) != want {
		t.Errorf("ConfigFromSample = %x, %v, want %s", got, err, want)
	}
	// What libaom says itself is what its samples say.
	got, err = ConfigFromSample(unhex(t, aom[8:]))
	if err != nil || hex.EncodeToString(got) != aom {
		t.Errorf("ConfigFromSample = %x, %v, want %s", got, err, aom)
	}
	if _, err := ConfigFromSample(unhex(t, "320114")); err == nil {
		t.Error("ConfigFromSample of a sample without a sequence header succeeded")
	}
}

func TestInspectSample(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, data string
		want       Inspection
		wantErr    string
	}{
		{"empty", "", Inspection{}, ""},
		{"shown key frame", "1200" + inSVT + "320110", Inspection{1, true}, ""},
		{"key frame without a sequence header", "320110", Inspection{1, false}, ""},
		{"hidden key frame", inSVT + "320100", Inspection{0, false}, ""},
		{"hidden frame, then a shown one", "320120 320130", Inspection{1, false}, ""},
		{"existing frame", "1a0180", Inspection{1, false}, ""},
		{"intra only frame", inSVT + "320150", Inspection{1, false}, ""},
		{"two shown frames", inSVT + "320110 320130", Inspection{2, true}, ""},
		{"repeated header", inSVT + "320110 3a0110", Inspection{1, true}, ""},
		{"second layer", "360001 30 360801 30", Inspection{1, false}, ""},
		{"last obu without a size", inSVT + "3010", Inspection{1, true}, ""},
		{"empty frame", "3200", Inspection{}, "av1 sample: av1 frame header: empty payload"},
		{"cut short", "320930", Inspection{}, "av1 sample: obu of 9 bytes, 1 left in the sample"},
		{"forbidden bit", "80", Inspection{}, "av1 sample: obu_forbidden_bit is not 0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := InspectSample(unhex(t, tt.data))
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
	f.Add(unhex(f, "1200"+inSVT+"320110"))
	f.Add(unhex(f, "1a0180"))
	f.Add(unhex(f, "3600013036080130"))
	f.Fuzz(func(t *testing.T, data []byte) {
		in, err := InspectSample(data)
		if err == nil && (in.Pictures > len(data) || in.RandomAccess && in.Pictures == 0) {
			t.Errorf("InspectSample = %+v of %d bytes", in, len(data))
		}
		config, err := ConfigFromSample(data)
		if err != nil {
			return
		}
		if _, err := CodecString(config); err != nil {
			t.Errorf("a configuration made from a sample: %v", err)
		}
	})
}

func FuzzCodecString(f *testing.F) {
	f.Add(unhex(f, aom))
	f.Add(unhex(f, pq))
	f.Add(unhex(f, "81108c00"))
	f.Fuzz(func(t *testing.T, config []byte) {
		name, err := CodecString(config)
		if err == nil && !strings.HasPrefix(name, "av01.") {
			t.Errorf("CodecString = %q", name)
		}
		if !SameConfig(config, config) {
			t.Error("a configuration differs from itself")
		}
	})
}
