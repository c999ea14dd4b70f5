package proc

import "testing"

func TestMemoryOf(t *testing.T) {
	t.Parallel()
	const info = "MemTotal:       16384 kB\nMemFree:  1 kB\n"
	tests := []struct {
		name, info, limit string
		want              int64
	}{
		{"machine", info, "max\n", 16 << 20},
		{"control group", info, "1048576\n", 1 << 20},
		{"control group above the machine", info, "1048576000000\n", 16 << 20},
		{"no control group", info, "", 16 << 20},
		{"neither", "", "", 0},
		{"odd", "MemTotal: many\n", "-5", 0},
	}
	for _, test := range tests {
		if got := memoryOf([]byte(test.info), []byte(test.limit)); got != test.want {
			t.Errorf("%s: got %d, want %d", test.name, got, test.want)
		}
	}
	if Memory() < 64<<20 {
		t.Errorf("this machine has %d bytes", Memory())
	}
}
