package guard

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"liuyun/internal/base/file"
)

// copies are the certificates that an edge had last, one file each with the key in it, so
// that they always fit each other. They are what it shows when it starts while the control
// nodes are away; nothing else is decided by them.
type copies struct{ folder string }

const (
	copyEnd     = ".pem"
	largestCopy = 2 * largestPair
	longestName = 200 // of a file; a temporary one is longer
)

func openCopies(folder string) (copies, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return copies{}, fmt.Errorf("copies of certificates: %w", err)
	}
	return copies{folder}, nil
}

// path is the file of a name, which has letters, digits, hyphens and dots only.
func (c copies) path(name string) string {
	if len(name) > longestName {
		sum := sha256.Sum256([]byte(name))
		name = hex.EncodeToString(sum[:])
	}
	return filepath.Join(c.folder, name+copyEnd)
}

func (c copies) save(name string, certificate *tls.Certificate) error {
	key, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := pem.Encode(&text, &pem.Block{Type: "PRIVATE KEY", Bytes: key}); err != nil {
		return err
	}
	for _, der := range certificate.Certificate {
		text.Write(pemOf(der))
	}
	return file.WriteWhole(c.path(name), text.Bytes(), 0o600)
}

// load returns the copy for a name, or nil where there is none that can be shown.
func (c copies) load(name string, now time.Time) *tls.Certificate {
	certificate := readCopy(c.path(name))
	if certificate == nil || now.After(certificate.Leaf.NotAfter) || certificate.Leaf.VerifyHostname(name) != nil {
		return nil
	}
	return certificate
}

func readCopy(path string) *tls.Certificate {
	if info, err := os.Stat(path); err != nil || info.Size() > largestCopy {
		return nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	certificate, err := tls.X509KeyPair(text, text)
	if err != nil {
		return nil
	}
	return &certificate
}

// prune removes copies that have ended. Those of sites that are gone stay until then: a
// site may come back, and authorities count what they issue.
func (c copies) prune(now time.Time) {
	entries, err := os.ReadDir(c.folder)
	if err != nil {
		return // the folder is made before the next start
	}
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), copyEnd) {
			continue
		}
		path := filepath.Join(c.folder, entry.Name())
		if certificate := readCopy(path); certificate == nil || now.After(certificate.Leaf.NotAfter) {
			_ = os.Remove(path) // it is tried again at the next start
		}
	}
}
