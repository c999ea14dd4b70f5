package bits

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNALUnits(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name       string
		data       []byte
		lengthSize int
		want       [][]byte
		wantErr    string
	}{
		{"empty", nil, 4, nil, ""},
		{"two of four", []byte{0, 0, 0, 2, 1, 2, 0, 0, 0, 1, 3}, 4, [][]byte{{1, 2}, {3}}, ""},
		{"two of two", []byte{0, 1, 9, 0, 1, 8}, 2, [][]byte{{9}, {8}}, ""},
		{"one of one", []byte{3, 1, 2, 3}, 1, [][]byte{{1, 2, 3}}, ""},
		{"three is no size", []byte{0, 0, 1, 9}, 3, nil, "nal unit length of 3 bytes"},
		{"cut length", []byte{0, 1, 9, 0}, 2, [][]byte{{9}}, "nal unit at byte 3: length cut short at 1 bytes"},
		{"cut unit", []byte{0, 0, 0, 5, 1}, 4, nil, "nal unit at byte 0: 5 bytes, 1 left in the sample"},
		{"huge length", []byte{255, 255, 255, 255, 1}, 4, nil, "nal unit at byte 0: 4294967295 bytes, 1 left in the sample"},
		{"no bytes", []byte{0, 0, 0, 0}, 4, nil, "nal unit at byte 0: no bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got [][]byte
			gotErr := ""
			for unit, err := range NALUnits(tt.data, tt.lengthSize) {
				if err != nil {
					gotErr = err.Error()
					continue
				}
				got = append(got, unit)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("units (-want +got):\n%s", diff)
			}
			if gotErr != tt.wantErr {
				t.Errorf("error = %q, want %q", gotErr, tt.wantErr)
			}
		})
	}
}
