package bits

import (
	"bytes"
	"fmt"
	"slices"
)

// Sets are the parameter sets of one kind, by their number. The zero value has none.
type Sets struct{ list []numbered }

type numbered struct {
	number uint32
	unit   []byte
}

// Bounds of what strangers may have kept.
const (
	mostSets   = 31 // what avcC can count of the first kind
	largestSet = 4096
)

// Put keeps a copy of a set, in place of the one of the same number, and reports
// whether it is another.
func (s *Sets) Put(number uint32, unit []byte) (changed bool, err error) {
	at, found := slices.BinarySearchFunc(s.list, number, func(n numbered, number uint32) int { return int(n.number) - int(number) })
	switch {
	case found && bytes.Equal(s.list[at].unit, unit):
		return false, nil
	case len(unit) > largestSet:
		return false, fmt.Errorf("a parameter set of %d bytes", len(unit))
	case !found && len(s.list) == mostSets:
		return false, fmt.Errorf("more than %d parameter sets of a kind", mostSets)
	}
	kept := numbered{number, bytes.Clone(unit)}
	if found {
		s.list[at] = kept
	} else {
		s.list = slices.Insert(s.list, at, kept)
	}
	return true, nil
}

// Units returns the sets by their numbers. They are read-only.
func (s *Sets) Units() [][]byte {
	units := make([][]byte, len(s.list))
	for i := range s.list {
		units[i] = s.list[i].unit
	}
	return units
}

// Len is how many there are.
func (s *Sets) Len() int { return len(s.list) }

// Role is what a NAL unit is to one who passes pictures on.
type Role uint8

// The roles.
const (
	Carried    Role = iota // messages, and what is not known: goes with the picture
	Left                   // delimiters, filler, ends of sequences: is left out
	Parameters             // a parameter set
	Slice                  // of a picture
)
