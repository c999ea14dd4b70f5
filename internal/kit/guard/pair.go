package guard

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"strings"
	"time"

	"liuyun/internal/base/fault"
)

// Limits of a pair that is uploaded.
const (
	largestPair  = 64 << 10 // of certificates and key, each
	longestChain = 10
	smallestRSA  = 2048
	largestRSA   = 8192 // crypto/tls verifies no larger one
)

// Pair is what is to be known of a certificate.
type Pair struct {
	Names    []string
	Issuer   string
	NotAfter time.Time
	// Incomplete says that it comes alone and that no authority which this machine knows
	// has issued it itself: most clients will miss the certificates between.
	Incomplete bool
}

// CheckPair says what is in an uploaded certificate, with the certificates that vouch
// for it behind it, and its key, all in PEM. What cannot be served for hosts at the time
// now is fault.Invalid, with what to do about it.
func CheckPair(certificate, key []byte, hosts []string, now time.Time) (Pair, error) {
	chain, err := parseChain(certificate)
	if err != nil {
		return Pair{}, err
	}
	if err := checkKeyText(key); err != nil {
		return Pair{}, err
	}
	leaf := chain[0]
	if err := checkKeyType(leaf); err != nil {
		return Pair{}, err
	}
	if _, err := tls.X509KeyPair(certificate, key); err != nil {
		return Pair{}, fault.Wrap(err, fault.Invalid, "the key does not belong to the certificate, or is damaged: %v", err)
	}
	if err := checkUse(leaf, now); err != nil {
		return Pair{}, err
	}
	for _, host := range hosts {
		if !covers(leaf, host) {
			return Pair{}, fault.New(fault.Invalid, "the certificate is not for %s, but for %s", host, strings.Join(append(leaf.DNSNames, "no other name"), ", "))
		}
	}
	p := Pair{Names: leaf.DNSNames, Issuer: leaf.Issuer.String(), NotAfter: leaf.NotAfter}
	p.Incomplete = len(chain) == 1 && !bytes.Equal(leaf.RawIssuer, leaf.RawSubject) && !known(leaf, now)
	return p, nil
}

// known reports whether an authority of this machine has issued the certificate itself.
func known(leaf *x509.Certificate, now time.Time) bool {
	_, err := leaf.Verify(x509.VerifyOptions{CurrentTime: now})
	return err == nil
}

// parseChain reads the certificates, each vouched for by the next.
func parseChain(text []byte) ([]*x509.Certificate, error) {
	if len(text) > largestPair {
		return nil, fault.New(fault.Invalid, "the certificate has more than %d bytes", largestPair)
	}
	var chain []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "certificate %d is damaged: %v", len(chain)+1, err)
		}
		if chain = append(chain, cert); len(chain) > longestChain {
			return nil, fault.New(fault.Invalid, "there are more than %d certificates", longestChain)
		}
	}
	if len(chain) == 0 {
		return nil, fault.New(fault.Invalid, "there is no certificate in PEM: it begins with -----BEGIN CERTIFICATE-----")
	}
	for i, cert := range chain[:len(chain)-1] {
		if err := cert.CheckSignatureFrom(chain[i+1]); err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "certificate %d is not vouched for by certificate %d: put the site's own first, then each one that vouches for the one before", i+1, i+2)
		}
	}
	return chain, nil
}

func checkKeyText(text []byte) error {
	if len(text) > largestPair {
		return fault.New(fault.Invalid, "the key has more than %d bytes", largestPair)
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" {
			return fault.New(fault.Invalid, "the key is encrypted with a password; decrypt it with: openssl pkey -in KEY")
		}
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			return nil
		}
	}
	return fault.New(fault.Invalid, "there is no key in PEM: it begins with -----BEGIN PRIVATE KEY-----")
}

// checkKeyType wants a key that browsers take.
func checkKeyType(leaf *x509.Certificate) error {
	switch key := leaf.PublicKey.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits >= smallestRSA && bits <= largestRSA {
			return nil
		}
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() || key.Curve == elliptic.P384() {
			return nil
		}
	}
	return fault.New(fault.Invalid, "browsers do not take a key of this kind: make one with RSA of %d to %d bits or ECDSA with P-256 or P-384", smallestRSA, largestRSA)
}

func checkUse(leaf *x509.Certificate, now time.Time) error {
	uses := leaf.ExtKeyUsage
	switch {
	case now.After(leaf.NotAfter):
		return fault.New(fault.Invalid, "the certificate ended on %s: upload its successor", leaf.NotAfter.UTC().Format(time.DateOnly))
	case now.Before(leaf.NotBefore):
		return fault.New(fault.Invalid, "the certificate begins on %s only: wait, or check the clock of this machine", leaf.NotBefore.UTC().Format(time.DateOnly))
	case len(uses) > 0 && !slices.Contains(uses, x509.ExtKeyUsageServerAuth) && !slices.Contains(uses, x509.ExtKeyUsageAny):
		return fault.New(fault.Invalid, "the certificate is not for servers (extended key usage)")
	}
	return nil
}

// covers reports whether a certificate is for a name; *.example.org needs just that name
// in it. Names of before SAN (RFC 9525, section 6.3) do not count.
func covers(leaf *x509.Certificate, host string) bool {
	if strings.HasPrefix(host, "*.") {
		return slices.ContainsFunc(leaf.DNSNames, func(name string) bool { return strings.EqualFold(name, host) })
	}
	return leaf.VerifyHostname(host) == nil
}
