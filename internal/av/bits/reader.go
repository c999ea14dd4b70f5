package bits

// Reader reads the bits of what comes from outside, the highest first. Past the end,
// and after a number that is larger than it may be, it is bad and everything is 0.
type Reader struct {
	data []byte
	at   int // in bits
	bad  bool
}

// NewReader reads data, in which nothing is escaped any more.
func NewReader(data []byte) *Reader { return &Reader{data: data} }

// Bad reports whether something could not be read.
func (r *Reader) Bad() bool { return r.bad }

// Flag reads one bit.
func (r *Reader) Flag() bool { return r.Bits(1) == 1 }

// Bits reads an unsigned number of at most 32 bits.
func (r *Reader) Bits(count int) (value uint32) {
	if r.bad || r.at+count > 8*len(r.data) {
		r.bad = true
		return 0
	}
	for range count {
		value = value<<1 | uint32(r.data[r.at/8]>>(7-r.at%8)&1)
		r.at++
	}
	return value
}

// Skip skips bits.
func (r *Reader) Skip(count int) {
	if r.bad || count > 8*len(r.data)-r.at {
		r.bad = true
		return
	}
	r.at += count
}

// Golomb reads ue(v) (ITU-T H.264 9.1), at most most.
func (r *Reader) Golomb(most uint32) uint32 {
	zeros := 0
	for !r.bad && r.Bits(1) == 0 {
		zeros++
	}
	if zeros > 31 {
		r.bad = true
	}
	if r.bad {
		return 0
	}
	value := uint32(1)<<zeros - 1 + r.Bits(zeros)
	if value > most {
		r.bad = true
		return 0
	}
	return value
}

// Largest is no bound for Golomb but that of the coding.
const Largest = 1<<32 - 2

// Signed reads se(v) (ITU-T H.264 9.1.1).
func (r *Reader) Signed() int32 {
	value := r.Golomb(Largest)
	if value%2 == 1 {
		return int32(value/2 + 1)
	}
	return -int32(value / 2)
}

// Unescape takes out the bytes that keep start codes from being in a NAL unit.
func Unescape(data []byte) []byte {
	out := make([]byte, 0, len(data))
	zeros := 0
	for _, b := range data {
		if zeros >= 2 && b == 3 {
			zeros = 0
			continue
		}
		if b == 0 {
			zeros++
		} else {
			zeros = 0
		}
		out = append(out, b)
	}
	return out
}
