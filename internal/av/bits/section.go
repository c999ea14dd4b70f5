package bits

// SectionSum is the CRC-32 of the sections of transport streams (ISO/IEC 13818-1 annex
// A), those of SCTE 35 too: not reflected, all bits set at first. Over a section with
// its own sum it is 0.
func SectionSum(b []byte) uint32 {
	sum := ^uint32(0)
	for _, v := range b {
		sum ^= uint32(v) << 24
		for range 8 {
			if sum&(1<<31) != 0 {
				sum = sum<<1 ^ 0x04c11db7
			} else {
				sum <<= 1
			}
		}
	}
	return sum
}
