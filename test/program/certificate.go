package program

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"

	"liuyun/internal/kit/guard"
)

// Certificate is one for localhost, in two files of PEM.
type Certificate struct {
	Cert, Key string         // paths
	Trust     *x509.CertPool // who vouches for it
}

// NewCertificate makes one in a folder.
func NewCertificate(folder string) (Certificate, error) {
	c := Certificate{Cert: filepath.Join(folder, "cert.pem"), Key: filepath.Join(folder, "key.pem")}
	ca, err := guard.OpenCA(folder)
	if err != nil {
		return c, err
	}
	c.Trust = ca.Pool()
	pair, err := ca.Server()(nil)
	if err != nil {
		return c, err
	}
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		return c, err
	}
	var chain []byte
	for _, der := range pair.Certificate {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return c, errors.Join(os.WriteFile(c.Cert, chain, 0o600), os.WriteFile(c.Key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600))
}
