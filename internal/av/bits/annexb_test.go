package bits

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAppendAnnexB(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		data string
		want [][]byte
	}{
		"empty":           {"", nil},
		"no start code":   {"\x00\x00abc", nil},
		"only start code": {"\x00\x00\x01", nil},
		"one":             {"\x00\x00\x01ab", [][]byte{[]byte("ab")}},
		"three and four":  {"\x00\x00\x00\x01ab\x00\x00\x01c\x00\x00\x00\x01d", [][]byte{[]byte("ab"), []byte("c"), []byte("d")}},
		"zeros around":    {"\x00\x00\x00\x00\x01ab\x00\x00\x00\x00\x00\x01c\x00\x00", [][]byte{[]byte("ab"), []byte("c")}},
		"before":          {"xy\x00\x00\x01a", [][]byte{[]byte("a")}},
		"empty ones":      {"\x00\x00\x01\x00\x00\x01a\x00\x00\x01", [][]byte{[]byte("a")}},
		"zeros inside":    {"\x00\x00\x01a\x00\x00b", [][]byte{[]byte("a\x00\x00b")}},
	}
	for name, tt := range tests {
		if diff := cmp.Diff(tt.want, AppendAnnexB(nil, []byte(tt.data))); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// Units that are put between start codes come back.
func FuzzAppendAnnexB(f *testing.F) {
	f.Add([]byte("\x00\x00\x01ab\x00\x00\x00\x01c"))
	f.Add([]byte("\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		units := AppendAnnexB(nil, data)
		var again []byte
		for _, unit := range units {
			if len(unit) == 0 || bytes.Contains(unit, startCode) || unit[len(unit)-1] == 0 {
				t.Fatalf("unit %x", unit)
			}
			again = append(append(again, 0, 0, 0, 1), unit...)
		}
		if diff := cmp.Diff(units, AppendAnnexB(nil, again)); diff != "" {
			t.Error(diff)
		}
	})
}
