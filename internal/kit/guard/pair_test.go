package guard_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"strings"
	"testing"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/guard"
)

// made is a certificate of tests.
type made struct {
	cert, key string // PEM
	x509      *x509.Certificate
	signer    crypto.Signer
}

// makePair makes a certificate for names, signed by issuer or by itself.
func makePair(t testing.TB, signer crypto.Signer, issuer *made, change func(*x509.Certificate), names ...string) made {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if len(names) == 0 {
		template.IsCA, template.KeyUsage, template.ExtKeyUsage = true, x509.KeyUsageCertSign, nil
		template.Subject = pkix.Name{CommonName: "authority " + template.SerialNumber.String()}
	}
	if change != nil {
		change(template)
	}
	parent, by := template, signer
	if issuer != nil {
		parent, by = issuer.x509, issuer.signer
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, signer.Public(), by)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		t.Fatal(err)
	}
	return made{pemText("CERTIFICATE", der), pemText("PRIVATE KEY", key), parsed, signer}
}

func newKey(t testing.TB, curve elliptic.Curve) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestCheckPair(t *testing.T) {
	t.Parallel()
	key := newKey(t, elliptic.P256())
	root := makePair(t, newKey(t, elliptic.P256()), nil, nil)
	between := makePair(t, newKey(t, elliptic.P256()), &root, nil)
	site := makePair(t, key, &between, nil, "a.example.org", "*.b.example.org")
	own := makePair(t, key, nil, nil, "a.example.org")
	other := makePair(t, newKey(t, elliptic.P384()), nil, nil, "a.example.org")
	ended := makePair(t, key, nil, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, "a.example.org")
	early := makePair(t, key, nil, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }, "a.example.org")
	client := makePair(t, key, nil, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, "a.example.org")
	named := makePair(t, key, nil, func(c *x509.Certificate) { c.DNSNames, c.Subject.CommonName = nil, "a.example.org" }, "x")
	_, edwards, _ := ed25519.GenerateKey(rand.Reader)
	ed := makePair(t, edwards, nil, nil, "a.example.org")
	p521 := makePair(t, newKey(t, elliptic.P521()), nil, nil, "a.example.org")
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	plain := makePair(t, rsaKey, nil, nil, "a.example.org")
	a := []string{"a.example.org"}
	for _, c := range []struct {
		name, cert, key string
		hosts           []string
		fault           string // part of the message; empty is none
	}{
		{"whole", site.cert + between.cert, site.key, []string{"a.example.org", "*.b.example.org", "c.b.example.org"}, ""},
		{"alone", own.cert, own.key, a, ""},
		{"RSA", plain.cert, plain.key, []string{"A.example.org"}, ""},
		{"P-384, with text around", "hello\n" + other.cert, other.key + "\nbye", a, ""},
		{"nothing", "", own.key, a, "no certificate in PEM"},
		{"no key", own.cert, own.cert, a, "no key in PEM"},
		{"DER", string(own.x509.Raw), own.key, a, "no certificate in PEM"},
		{"damaged", pemText("CERTIFICATE", own.x509.Raw[:100]), own.key, a, "certificate 1 is damaged"},
		{"of another", own.cert, other.key, a, "does not belong"},
		{"encrypted", own.cert, pemText("ENCRYPTED PRIVATE KEY", []byte{1}), a, "encrypted"},
		{"ended", ended.cert, ended.key, a, "ended on"},
		{"early", early.cert, early.key, a, "begins on"},
		{"for clients", client.cert, client.key, a, "not for servers"},
		{"another name", own.cert, own.key, []string{"b.example.org"}, "not for b.example.org"},
		{"common name alone", named.cert, named.key, a, "not for a.example.org"},
		{"* needs *", own.cert, own.key, []string{"*.example.org"}, "not for *.example.org"},
		{"* is one label", site.cert, site.key, []string{"d.c.b.example.org"}, "not for d.c.b.example.org"},
		{"the wrong way round", between.cert + site.cert, site.key, a, "certificate 1 is not vouched for"},
		{"Ed25519", ed.cert, ed.key, a, "browsers do not take"},
		{"P-521", p521.cert, p521.key, a, "browsers do not take"},
		{"huge", own.cert + strings.Repeat(" ", 64<<10), own.key, a, "more than"},
		{"endless", strings.Repeat(root.cert, 11), own.key, a, "more than 10"},
	} {
		_, err := guard.CheckPair([]byte(c.cert), []byte(c.key), c.hosts, time.Now())
		if c.fault == "" && err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.fault != "" && (fault.CodeOf(err) != fault.Invalid || !strings.Contains(fault.Message(err), c.fault)) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.fault)
		}
	}
	for want, text := range map[bool]string{true: site.cert, false: site.cert + between.cert} {
		got, err := guard.CheckPair([]byte(text), []byte(site.key), nil, time.Now())
		if err != nil || got.Incomplete != want || len(got.Names) != 2 || !got.NotAfter.Equal(site.x509.NotAfter) {
			t.Errorf("incomplete %v: got %+v, %v", want, got, err)
		}
	}
	if got, _ := guard.CheckPair([]byte(own.cert), []byte(own.key), a, time.Now()); got.Incomplete {
		t.Error("what vouches for itself is said to be incomplete")
	}
}

func FuzzCheckPair(f *testing.F) {
	own := makePair(f, newKey(f, elliptic.P256()), nil, nil, "a.example.org")
	f.Add(own.cert, own.key, "a.example.org")
	f.Add(own.cert+own.cert, own.key, "*.example.org")
	f.Add(own.key, own.cert, "")
	f.Add("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n", ".")
	f.Fuzz(func(t *testing.T, cert, key, host string) {
		_, err := guard.CheckPair([]byte(cert), []byte(key), []string{host}, time.Now())
		if err != nil && fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%v is no fault of who uploads", err)
		}
	})
}
