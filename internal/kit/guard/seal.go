package guard

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"

	"liuyun/internal/base/fault"
	"liuyun/internal/base/file"
)

// Seal knows again what this machine has written down for itself: HMAC-SHA256 by a key
// that is on its disk alone. It hides nothing.
type Seal struct{ key []byte }

// OpenSeal reads the key of a seal at path, and makes one where there is none, or none that
// is whole: then what was sealed before is not known any more.
func OpenSeal(path string) (*Seal, error) {
	key, err := os.ReadFile(path)
	switch {
	case err == nil && len(key) == sha256.Size:
		return &Seal{key}, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, fault.Wrap(err, fault.Unavailable, "%s cannot be read", path)
	}
	key = make([]byte, sha256.Size)
	rand.Read(key) // never fails
	return &Seal{key}, file.WriteWhole(path, key, 0o600)
}

// Seal returns data with its seal in front.
func (s *Seal) Seal(data []byte) []byte { return append(s.mac(data), data...) }

// Open returns what was sealed, or an error when it was changed or sealed by another.
func (s *Seal) Open(sealed []byte) ([]byte, error) {
	if len(sealed) < sha256.Size || !hmac.Equal(sealed[:sha256.Size], s.mac(sealed[sha256.Size:])) {
		return nil, fault.New(fault.Invalid, "it was damaged, changed, or written by another machine")
	}
	return sealed[sha256.Size:], nil
}

func (s *Seal) mac(data []byte) []byte {
	h := hmac.New(sha256.New, s.key)
	h.Write(data)
	return h.Sum(nil)
}
