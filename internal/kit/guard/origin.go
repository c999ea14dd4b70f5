package guard

import (
	"crypto/tls"
	"crypto/x509"

	"liuyun/internal/base/fault"
)

// OriginTLS is how an origin is asked that wants to know who asks, or that an authority of
// its own vouches for: all are PEM, and may be empty.
func OriginTLS(certificate, key, ca string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if certificate != "" {
		pair, err := tls.X509KeyPair([]byte(certificate), []byte(key))
		if err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "the client certificate and its key are no pair in PEM")
		}
		config.Certificates = []tls.Certificate{pair}
	}
	if ca != "" {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM([]byte(ca)) {
			return nil, fault.New(fault.Invalid, "the authority of the origin has no certificate in PEM")
		}
	}
	return config, nil
}
