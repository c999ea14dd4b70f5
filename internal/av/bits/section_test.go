package bits

import "testing"

func TestSectionSum(t *testing.T) {
	t.Parallel()
	if got := SectionSum([]byte("123456789")); got != 0x0376e6e7 {
		t.Errorf("%#x", got)
	}
}
