package guard

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net"
	"strings"

	"liuyun/internal/base/fault"
)

// JoinToken is all that a machine needs to become a node: where the control nodes
// are, by what to know them, and what lets it in.
type JoinToken struct {
	Addresses  []string `json:"a"` // host:port of node listeners; any of them will do
	CA         []byte   `json:"h"` // SHA-256 of the CA's certificate
	Credential []byte   `json:"c"` // 32 random bytes; the records hold only its hash
}

const (
	joinPrefix     = "lyj_"
	maxJoinToken   = 4096 // characters
	maxAddresses   = 16
	credentialSize = 32
)

// NewCredential returns a credential for a join token.
func NewCredential() []byte {
	c := make([]byte, credentialSize)
	rand.Read(c) // never fails
	return c
}

// CredentialHash is what is kept of a credential: enough to know it again, too
// little to use it.
func CredentialHash(credential []byte) string {
	sum := sha256.Sum256(credential)
	return hex.EncodeToString(sum[:])
}

// String returns the token as people copy it: lyj_ and base64url.
func (t JoinToken) String() string {
	text, err := json.Marshal(t)
	if err != nil {
		panic(err) // strings and bytes always marshal
	}
	return joinPrefix + base64.RawURLEncoding.EncodeToString(text)
}

// ParseJoinToken reads what String wrote. Anything else is fault.Invalid; its
// words hold no part of the token.
func ParseJoinToken(text string) (JoinToken, error) {
	bad := fault.New(fault.Invalid, "this is no join token, or a part of it is missing; copy the whole of it, from %s on", joinPrefix)
	body, ok := strings.CutPrefix(strings.TrimSpace(text), joinPrefix)
	if !ok || len(body) > maxJoinToken {
		return JoinToken{}, bad
	}
	decoded, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil {
		return JoinToken{}, bad
	}
	var t JoinToken
	if json.Unmarshal(decoded, &t) != nil || len(t.CA) != sha256.Size || len(t.Credential) != credentialSize || len(t.Addresses) == 0 || len(t.Addresses) > maxAddresses {
		return JoinToken{}, bad
	}
	for _, address := range t.Addresses {
		if host, port, err := net.SplitHostPort(address); err != nil || host == "" || port == "" {
			return JoinToken{}, bad
		}
	}
	return t, nil
}
