package h264

import (
	"errors"
	"fmt"

	"liuyun/internal/av/bits"
)

// Unit is what the header of a NAL unit says.
type Unit struct {
	Role bits.Role
	// IDR says of a slice that its picture is one, Intra that it refers to no other
	// picture.
	IDR, Intra bool
	// Recovers says of a message that decoding may begin at its picture: what is
	// presented from there on is right, though it may not be what follows in the stream
	// before that.
	Recovers bool
}

const (
	kindSlice = iota + 1
	kindPartitionA
	kindPartitionB
	kindPartitionC
	kindIDR
	kindMessage
	kindSequence
	kindPicture
	kindDelimiter
	kindEndOfSequence
	kindEndOfStream
	kindFiller
)

// Look reads the header of a NAL unit of at least one byte.
func Look(unit []byte) Unit {
	switch kind := unit[0] & 0x1f; kind {
	case kindSlice, kindPartitionA, kindIDR:
		r := bits.NewReader(unit[1:min(len(unit), 10)])
		_ = r.Golomb(bits.Largest) // first_mb_in_slice
		slice := r.Golomb(9)       // slice_type
		return Unit{Role: bits.Slice, IDR: kind == kindIDR, Intra: !r.Bad() && slice%5 >= 2 && slice%5 != 3}
	case kindPartitionB, kindPartitionC:
		return Unit{Role: bits.Slice}
	case kindMessage:
		return Unit{Recovers: recovers(unit[1:])}
	case kindSequence, kindPicture:
		return Unit{Role: bits.Parameters}
	case kindDelimiter, kindEndOfSequence, kindEndOfStream, kindFiller:
		return Unit{Role: bits.Left}
	}
	return Unit{}
}

// recovers looks for a recovery point at this very picture among messages (D.1.8).
func recovers(messages []byte) bool {
	const recoveryPoint = 6
	for len(messages) > 2 {
		kind, rest := messageNumber(messages)
		size, rest := messageNumber(rest)
		if size > len(rest) {
			return false
		}
		if kind == recoveryPoint {
			r := bits.NewReader(rest[:size])
			return r.Golomb(bits.Largest) == 0 && !r.Bad()
		}
		messages = rest[size:]
	}
	return false
}

// messageNumber reads a type or a size of 7.3.2.3.1.
func messageNumber(data []byte) (n int, rest []byte) {
	for i, b := range data {
		n += int(b)
		if b != 0xff {
			return n, data[i+1:]
		}
	}
	return n, nil
}

// Sets are the parameter sets of a stream, as they come with it. The zero value has
// none.
type Sets struct{ sequence, picture bits.Sets }

// Put keeps a copy of a parameter set, and reports whether it is another than the one
// of the same kind and number before.
func (s *Sets) Put(unit []byte) (changed bool, err error) {
	if len(unit) < 2 {
		return false, errSet
	}
	if unit[0]&0x1f == kindSequence {
		set, err := readSequenceSet(unit)
		if err != nil {
			return false, err
		}
		return s.sequence.Put(set.id, unit)
	}
	r := bits.NewReader(bits.Unescape(unit[1:min(len(unit), 8)]))
	id := r.Golomb(255)
	if r.Bad() {
		return false, errors.New("h264 picture parameter set: it is malformed")
	}
	return s.picture.Put(id, unit)
}

// PutConfig keeps those of a record avcC.
func (s *Sets) PutConfig(config []byte) (changed bool, err error) {
	const head = 6
	if len(config) < head || config[0] != 1 {
		return false, errors.New("h264 decoder configuration: it is malformed")
	}
	count, rest := int(config[5]&0x1f), config[head:]
	for range 2 {
		for range count {
			if len(rest) < 2 || len(rest)-2 < int(rest[0])<<8|int(rest[1]) {
				return false, errors.New("h264 decoder configuration: it is cut short")
			}
			size := int(rest[0])<<8 | int(rest[1])
			another, err := s.Put(rest[2 : 2+size])
			if err != nil {
				return false, fmt.Errorf("h264 decoder configuration: %w", err)
			}
			changed, rest = changed || another, rest[2+size:]
		}
		if len(rest) == 0 {
			break
		}
		count, rest = int(rest[0]), rest[1:]
	}
	return changed, nil
}

// Complete reports whether there is one of each kind.
func (s *Sets) Complete() bool { return s.sequence.Len() > 0 && s.picture.Len() > 0 }

// Config returns the payload of an avcC box made of the sets.
func (s *Sets) Config() ([]byte, error) { return Config(s.sequence.Units(), s.picture.Units()) }
