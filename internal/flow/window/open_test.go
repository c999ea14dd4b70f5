package window

import (
	"fmt"
	"strings"
	"testing"
)

// FuzzName: a name that is taken is written in one way alone, so that no cache holds
// the same twice, and names nothing outside the window.
func FuzzName(f *testing.F) {
	for _, name := range []string{
		"init7.mp4", "12.m4s", "12.3.m4s", "12-7.m4s", "012.m4s", "12.-1.m4s", "+1.m4s", "12-07.m4s", "12.3-7.m4s", "-7.m4s", "journal", "../video/1.m4s", "9223372036854775808.m4s", "",
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		whole, period := splitPeriod(name)
		number, index, kind := parseName(whole)
		var again string
		switch kind {
		case nameOther:
			return
		case nameInit:
			again = fmt.Sprintf("init%d.mp4", number)
		case nameSegment:
			again = segmentURI(number)
		case namePart:
			again = partName(number, index)
		}
		if again != whole || number < 0 || index < 0 || strings.ContainsAny(whole, `/\`) {
			t.Errorf("%q is taken for %q, number %d, part %d", name, again, number, index)
		}
		if period < 0 && whole != name || period >= 0 && name != strings.TrimSuffix(whole, ".m4s")+fmt.Sprintf("-%d.m4s", period) {
			t.Errorf("%q is taken for %q of the period %d", name, whole, period)
		}
	})
}
