// Package id makes the names of records: a prefix that says what kind of record
// it is and 26 characters that sort by the time of making.
package id

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"strings"
	"sync"
	"time"
)

// alphabet is Crockford's base 32 in lower case: its letters sort as its values,
// and none is taken for another.
const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"

const length = 26

var encoding = base32.NewEncoding(alphabet).WithPadding(base32.NoPadding)

// Maker makes ids that increase even within one millisecond. The zero value is
// ready; it may be used by several goroutines.
type Maker struct {
	mu   sync.Mutex
	last [16]byte
}

// New returns prefix, an underscore and 26 characters: 48 bits of milliseconds
// since 1970 and 80 random bits.
func (m *Maker) New(prefix string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var b [16]byte
	rand.Read(b[:]) // never fails
	now := uint64(time.Now().UnixMilli())
	binary.BigEndian.PutUint64(b[:8], now<<16|uint64(binary.BigEndian.Uint16(b[6:8])))
	if string(b[:6]) <= string(m.last[:6]) { // same millisecond, or the clock went back
		b = next(m.last)
	}
	m.last = b
	return prefix + "_" + encoding.EncodeToString(b[:])
}

// next is b plus one.
func next(b [16]byte) [16]byte {
	for i := len(b) - 1; i >= 0; i-- {
		b[i]++
		if b[i] != 0 {
			break
		}
	}
	return b
}

// Valid reports whether s is an id with this prefix. It says nothing about
// whether such a record exists.
func Valid(prefix, s string) bool {
	rest, ok := strings.CutPrefix(s, prefix+"_")
	if !ok || len(rest) != length {
		return false
	}
	for i := range len(rest) {
		if strings.IndexByte(alphabet, rest[i]) < 0 {
			return false
		}
	}
	return true
}
