package guard

import (
	"crypto/tls"
	"os"
	"sync"
	"time"

	"liuyun/internal/base/fault"
)

// FileTLS serves the certificate and key in two PEM files, and takes new ones
// within ten seconds of the files being changed, without a restart. What cannot be
// read now is fault.Invalid; what cannot be read later leaves the old one in use.
func FileTLS(certPath, keyPath string, failed func(error)) (*tls.Config, error) {
	f := &fileCertificate{cert: certPath, key: keyPath, failed: failed}
	if err := f.load(time.Now()); err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: f.get}, nil
}

// fileCertificate is a certificate that is read again when its files change.
type fileCertificate struct {
	cert, key string
	failed    func(error)

	mu      sync.Mutex
	present *tls.Certificate
	changed time.Time // of the files
	looked  time.Time // at the files
}

const lookAgain = 10 * time.Second

func (f *fileCertificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); now.Sub(f.looked) >= lookAgain {
		if err := f.load(now); err != nil {
			f.failed(err)
		}
	}
	return f.present, nil
}

// load reads the files when they are newer than what it has.
func (f *fileCertificate) load(now time.Time) error {
	f.looked = now
	var newest time.Time
	for _, path := range []string{f.cert, f.key} {
		info, err := os.Stat(path)
		if err != nil {
			return fault.Wrap(err, fault.Invalid, "the TLS file %s cannot be read", path)
		}
		if info.ModTime().After(newest) {
			newest = info.ModTime()
		}
	}
	if f.present != nil && newest.Equal(f.changed) {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "the TLS files %s and %s do not make a certificate with its key", f.cert, f.key)
	}
	f.present, f.changed = &pair, newest
	return nil
}

// LocalTLS serves certificates of the local authority for these names and
// addresses, besides localhost.
func LocalTLS(ca *CA, names ...string) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: ca.Server(names...)}
}
