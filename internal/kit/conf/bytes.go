package conf

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Bytes is an amount of memory or disk. As text it is a whole number with an
// optional unit: B, KiB, MiB, GiB, TiB (powers of 1024) or kB, MB, GB, TB
// (powers of 1000). It is never negative when read from text.
type Bytes int64

type byteUnit struct {
	name string
	size int64
}

func byteUnits() []byteUnit {
	return []byteUnit{
		{"TiB", 1 << 40}, {"TB", 1e12},
		{"GiB", 1 << 30}, {"GB", 1e9},
		{"MiB", 1 << 20}, {"MB", 1e6},
		{"KiB", 1 << 10}, {"kB", 1e3}, {"KB", 1e3},
	}
}

// String returns the amount in the largest unit that shows it exactly.
func (b Bytes) String() string {
	for _, unit := range byteUnits() {
		if b != 0 && int64(b)%unit.size == 0 {
			return strconv.FormatInt(int64(b)/unit.size, 10) + unit.name
		}
	}
	return strconv.FormatInt(int64(b), 10) + "B"
}

// MarshalText returns String's text.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText reads "512MiB", "2GB" or "4096".
func (b *Bytes) UnmarshalText(text []byte) error {
	digits, size := strings.TrimSuffix(string(text), "B"), int64(1)
	for _, unit := range byteUnits() {
		if rest, found := strings.CutSuffix(string(text), unit.name); found {
			digits, size = rest, unit.size
			break
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
	if err != nil || n < 0 {
		return fmt.Errorf("%q is not a size such as 512MiB or 2GB", text)
	}
	if n > math.MaxInt64/size {
		return fmt.Errorf("%q is out of range", text)
	}
	*b = Bytes(n * size)
	return nil
}
