package guard

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"time"

	"liuyun/internal/base/fault"
)

// A playback token is 22 bytes in base64url, 30 characters: one byte that names
// the secret, the time of its end in five bytes of seconds since 1970, and 16
// bytes of HMAC-SHA256 over both and the asset. It stands in the path in front of
// the asset, so every address below is signed by it and no segment is rewritten.
const (
	tokenEnd  = 6 // where the MAC begins
	tokenSize = tokenEnd + 16
	macLabel  = "liuyun playback 1\n"
)

// Signer makes and checks playback tokens. It may be used by several goroutines.
type Signer struct {
	secrets [][]byte
}

// NewSigner returns a signer. It signs with the first secret and accepts tokens of
// all of them: to change the secret, put a new one in front and drop the old one
// when its last token has expired. A secret is at least 32 random bytes.
func NewSigner(secret []byte, older ...[]byte) *Signer {
	return &Signer{append([][]byte{secret}, older...)}
}

// Sign returns a token for everything below the asset's playback path until
// expires (whole seconds). It can stand in a path as it is.
func (s *Signer) Sign(asset string, expires time.Time) string {
	var token [tokenSize]byte
	var end [8]byte
	binary.BigEndian.PutUint64(end[:], uint64(min(max(expires.Unix(), 0), 1<<40-1)))
	token[0] = secretID(s.secrets[0])
	copy(token[1:tokenEnd], end[3:])
	copy(token[tokenEnd:], mac(s.secrets[0], token[:tokenEnd], asset))
	return base64.RawURLEncoding.EncodeToString(token[:])
}

// Verify returns nil when token was signed for asset and has not expired at now.
// Else it is fault.Forbidden, with the same words whatever is wrong but expiry.
func (s *Signer) Verify(token, asset string, now time.Time) error {
	refused := fault.New(fault.Forbidden, "this address was not signed here; ask for a new one")
	if len(token) != base64.RawURLEncoding.EncodedLen(tokenSize) {
		return refused
	}
	// Strict: else several texts would be the same token, and a cache would hold
	// each of them.
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) != tokenSize {
		return refused
	}
	signed := false
	for _, secret := range s.secrets {
		if raw[0] == secretID(secret) && subtle.ConstantTimeCompare(raw[tokenEnd:], mac(secret, raw[:tokenEnd], asset)) == 1 {
			signed = true
		}
	}
	if !signed {
		return refused
	}
	if end := expiry(raw); !now.Before(end) {
		return fault.New(fault.Forbidden, "this address expired at %s; ask for a new one", end.UTC().Format(time.RFC3339))
	}
	return nil
}

// expiry reads the end out of a token's bytes.
func expiry(raw []byte) time.Time {
	var wide [8]byte
	copy(wide[3:], raw[1:tokenEnd])
	return time.Unix(int64(binary.BigEndian.Uint64(wide[:])), 0)
}

// secretID names a secret without telling anything of it.
func secretID(secret []byte) byte {
	sum := sha256.Sum256(append([]byte("liuyun secret id\n"), secret...))
	return sum[0]
}

func mac(secret, head []byte, asset string) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(macLabel))
	h.Write(head)
	h.Write([]byte(asset))
	return h.Sum(nil)[:tokenSize-tokenEnd]
}
