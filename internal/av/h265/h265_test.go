package h265

import (
	"encoding/hex"
	"strings"
	"testing"
)

// Records as x265 writes them, at 192×108, without and with a message, and for
// HDR. other has another picture parameter set.
const (
	head    = "0101600000009000000000001ef000fcfdf8f800000f"
	sets    = "a00001001840010c01ffff01600000030090000003000003001e959809a10001002942010101600000030090000003000003001ea0182071f796566924caf0168080000003008000000c84a2000100074401c172b46240"
	main8   = head + "03" + sets
	message = head + "04" + sets + "270001" + "0004" + "4e010580"
	other   = head + "03" + "a00001001840010c01ffff01600000030090000003000003001e959809a10001002942010101600000030090000003000003001ea0182071f796566924caf0168080000003008000000c84a2000100074401c172b46241"
	main10  = "0102200000009000000000001ef000fcfdfafa00000f00"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	data, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// record returns an hvcC payload without parameter sets.
func record(profile, compatibility, constraints, level string) string {
	return "01" + profile + compatibility + constraints + level + "f000fcfdf8f800000f00"
}

func TestCodecString(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, config, want, wantErr string }{
		{"main", main8, "hvc1.1.6.L30.90", ""},
		{"main 10", main10, "hvc1.2.4.L30.90", ""},
		{"high tier", record("21", "60000000", "b00000000000", "7b"), "hvc1.1.6.H123.B0", ""},
		{"profile space", record("81", "60000000", "b00000000000", "5d"), "hvc1.B1.6.L93.B0", ""},
		{"inner zero byte", record("04", "08000000", "9d0008000000", "5d"), "hvc1.4.10.L93.9D.0.8", ""},
		{"all six bytes", record("04", "08000000", "9d0800000001", "5d"), "hvc1.4.10.L93.9D.8.0.0.0.1", ""},
		{"no constraints", record("01", "60000000", "000000000000", "5d"), "hvc1.1.6.L93", ""},
		{"version", "02" + main8[2:], "", "version 2"},
		{"empty", "", "", "h265 decoder configuration"},
		{"cut short", main8[:60], "", "h265 decoder configuration"},
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
		{"itself", main8, main8, true},
		{"a message more", main8, message, true},
		{"parameter set", main8, other, false},
		{"profile", main8, main10, false},
		{"malformed", main8, "01", false},
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
		want       Inspection
		wantErr    string
	}{
		{"empty", "", Inspection{}, ""},
		{"idr_n_lp of two slices", "00000003 2801af 00000003 28012f", Inspection{1, true, false}, ""},
		{"idr_w_radl after a message", "00000003 4e0105 00000003 2601af", Inspection{1, true, false}, ""},
		{"cra", "00000003 2a01af", Inspection{1, false, true}, ""},
		{"bla", "00000003 2001af", Inspection{1, false, false}, ""},
		{"trailing picture", "00000003 0201d0", Inspection{1, false, false}, ""},
		{"two pictures", "00000003 2801af 00000003 0201d0", Inspection{2, true, false}, ""},
		{"second layer", "00000003 2801af 00000003 0209d0", Inspection{1, true, false}, ""},
		{"slice without a header", "00000002 2801", Inspection{}, "h265 sample: slice without a header"},
		{"no header", "00000001 28", Inspection{}, "h265 sample: nal unit of 1 byte"},
		{"cut short", "00000009 28", Inspection{}, "h265 sample: nal unit at byte 0: 9 bytes, 1 left in the sample"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := InspectSample(unhex(t, tt.data), 4)
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
	f.Add(unhex(f, "000000032801af0000000328012f"), 4)
	f.Add(unhex(f, "00032a01af"), 2)
	f.Add(unhex(f, "030201d0"), 1)
	f.Fuzz(func(t *testing.T, data []byte, lengthSize int) {
		in, err := InspectSample(data, lengthSize)
		if err == nil && (in.Pictures > len(data)/3 || (in.RandomAccess || in.CRA) && in.Pictures == 0) {
			t.Errorf("InspectSample = %+v of %d bytes", in, len(data))
		}
	})
}

func FuzzCodecString(f *testing.F) {
	f.Add(unhex(f, main8))
	f.Add(unhex(f, message))
	f.Add(unhex(f, main10))
	f.Fuzz(func(t *testing.T, config []byte) {
		name, err := CodecString(config)
		if err == nil && (!strings.HasPrefix(name, "hvc1.") || len(name) > 48) {
			t.Errorf("CodecString = %q", name)
		}
		if !SameConfig(config, config) {
			t.Error("a configuration differs from itself")
		}
	})
}
