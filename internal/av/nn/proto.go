package nn

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// field is one field of a protocol-buffer message: its number and, by its wire
// type, the number or the bytes that it holds. bytes is a part of the message.
type field struct {
	number int
	wire   int
	value  uint64 // wireVarint, wire32 and wire64
	bytes  []byte // wireBytes
}

// The wire types of protocol buffers; groups are obsolete and refused.
const (
	wireVarint = 0
	wire64     = 1
	wireBytes  = 2
	wire32     = 5
)

var errTruncated = errors.New("message ends in the middle of a field")

// eachField calls f with every field of a message in order, until one fails.
func eachField(message []byte, f func(field) error) error {
	for len(message) > 0 {
		tag, n := binary.Uvarint(message)
		if n <= 0 {
			return errTruncated
		}
		message = message[n:]
		if tag>>3 == 0 || tag>>3 > 1<<29-1 {
			return fmt.Errorf("field number %d is out of range", tag>>3)
		}
		one := field{number: int(tag >> 3), wire: int(tag & 7)}
		switch one.wire {
		case wireVarint:
			if one.value, n = binary.Uvarint(message); n <= 0 {
				return errTruncated
			}
			message = message[n:]
		case wire64:
			if len(message) < 8 {
				return errTruncated
			}
			one.value, message = binary.LittleEndian.Uint64(message), message[8:]
		case wire32:
			if len(message) < 4 {
				return errTruncated
			}
			one.value, message = uint64(binary.LittleEndian.Uint32(message)), message[4:]
		case wireBytes:
			length, n := binary.Uvarint(message)
			if n <= 0 || length > uint64(len(message)-n) {
				return errTruncated
			}
			one.bytes, message = message[n:n+int(length)], message[n+int(length):]
		default:
			return fmt.Errorf("field %d has the unknown wire type %d", one.number, one.wire)
		}
		if err := f(one); err != nil {
			return err
		}
	}
	return nil
}

// appendInts appends the numbers of a repeated integer field, which writers may
// pack into one or give one at a time. It refuses more than most in all.
func appendInts(list []int64, f field, most int) ([]int64, error) {
	if f.wire == wireVarint {
		list = append(list, int64(f.value))
	}
	for rest := f.bytes; len(rest) > 0 && len(list) <= most; {
		v, n := binary.Uvarint(rest)
		if n <= 0 {
			return nil, errTruncated
		}
		list, rest = append(list, int64(v)), rest[n:]
	}
	if len(list) > most {
		return nil, fmt.Errorf("more than %d numbers in field %d", most, f.number)
	}
	return list, nil
}
