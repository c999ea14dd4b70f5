package guard

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/base/file"
)

// ControlName is the name that the certificate of every control node's listener
// has, so that a node can check it whatever the address is.
const ControlName = "control.liuyun.internal"

const (
	caLife     = 10 * 365 * 24 * time.Hour
	serverLife = 90 * 24 * time.Hour // browsers refuse more than 398 days
	nodeLife   = 30 * 24 * time.Hour
	backdate   = time.Hour // clocks of other machines may be behind
)

// CA is a certificate authority of one's own: it vouches for listeners that no
// public authority can, and for nodes. It may be used by several goroutines.
type CA struct {
	folder string
	cert   *x509.Certificate
	key    crypto.Signer
}

// OpenCA opens the authority in folder (ca.crt, ca.key), or makes it when there is
// none. Half of one is an error: a new one would shut out every node.
func OpenCA(folder string) (*CA, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	certificate, certErr := os.ReadFile(filepath.Join(folder, "ca.crt"))
	key, keyErr := os.ReadFile(filepath.Join(folder, "ca.key"))
	if errors.Is(certErr, fs.ErrNotExist) && errors.Is(keyErr, fs.ErrNotExist) {
		return newCA(folder)
	}
	if err := errors.Join(certErr, keyErr); err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "the certificate authority in %s is not whole; bring ca.crt and ca.key back from a backup, or remove both and let every node join again", folder)
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "the certificate authority in %s cannot be read; bring ca.crt and ca.key back from a backup", folder)
	}
	return &CA{folder, pair.Leaf, pair.PrivateKey.(crypto.Signer)}, nil
}

func newCA(folder string) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: "Liuyun local CA " + now.UTC().Format("2006-01-02"), Organization: []string{"Liuyun"}},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(caLife),
		IsCA:                  true,
		MaxPathLenZero:        true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	// The key first: a certificate without its key is found broken, not used.
	if err := writeKey(filepath.Join(folder, "ca.key"), key); err != nil {
		return nil, err
	}
	return &CA{folder, cert, key}, file.WriteWhole(filepath.Join(folder, "ca.crt"), pemOf(der), 0o644)
}

// Path is the file that people import into a browser.
func (ca *CA) Path() string { return filepath.Join(ca.folder, "ca.crt") }

// PEM returns the certificate of the authority.
func (ca *CA) PEM() []byte { return pemOf(ca.cert.Raw) }

// Hash returns the SHA-256 of the certificate, by which a join token pins it.
func (ca *CA) Hash() []byte {
	sum := sha256.Sum256(ca.cert.Raw)
	return sum[:]
}

// Pool returns a pool with this authority alone.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	return pool
}

// Instructions are two lines for people who open a page that this authority
// vouches for.
func (ca *CA) Instructions() [2]string {
	return [2]string{
		"The certificate is vouched for by " + ca.Path() + ", which browsers do not know yet.",
		"Import that file as an authority for web sites (Firefox, Chrome: Settings → Certificates; Debian: copy it to /usr/local/share/ca-certificates and run update-ca-certificates).",
	}
}

// Server returns a certificate for a listener under these names and addresses,
// besides localhost. It is made in memory, and anew before it ends.
func (ca *CA) Server(names ...string) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	var mu sync.Mutex
	var present *tls.Certificate
	return func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		mu.Lock()
		defer mu.Unlock()
		if present != nil && !due(present.Leaf, time.Now()) {
			return present, nil
		}
		made, err := ca.newServer(names)
		if err != nil {
			return nil, err
		}
		present = made
		return made, nil
	}
}

// due reports whether a certificate has lived half of its life.
func due(cert *x509.Certificate, now time.Time) bool {
	return now.After(cert.NotBefore.Add(cert.NotAfter.Sub(cert.NotBefore) / 2))
}

func (ca *CA) newServer(names []string) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "Liuyun"},
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else if name != "" {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := ca.issue(template, key.Public(), serverLife)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	return &tls.Certificate{Certificate: [][]byte{der, ca.cert.Raw}, PrivateKey: key, Leaf: leaf}, err
}

// SignNode answers a certificate request of a node with a certificate in PEM, for
// 30 days, that says which node it is. Of the request only the key counts. Names
// are those under which it may listen, besides its id.
func (ca *CA) SignNode(request []byte, node string, names ...string) ([]byte, error) {
	block, _ := pem.Decode(request)
	if block == nil || len(request) > 16<<10 {
		return nil, fault.New(fault.Invalid, "this is no certificate request in PEM")
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err == nil {
		err = csr.CheckSignature()
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "the certificate request is damaged")
	}
	key, ok := csr.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, fault.New(fault.Invalid, "the key of a node must be ECDSA P-256")
	}
	der, err := ca.issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: node, Organization: []string{nodeOrganization}},
		DNSNames:    append([]string{node}, names...),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, key, nodeLife)
	if err != nil {
		return nil, err
	}
	return pemOf(der), nil
}

// nodeOrganization marks the certificates of nodes.
const nodeOrganization = "Liuyun node"

// issue signs what template says, from now on.
func (ca *CA) issue(template *x509.Certificate, public crypto.PublicKey, life time.Duration) ([]byte, error) {
	now := time.Now()
	template.SerialNumber = serial()
	template.NotBefore = now.Add(-backdate)
	template.NotAfter = now.Add(life)
	if template.NotAfter.After(ca.cert.NotAfter) {
		template.NotAfter = ca.cert.NotAfter
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.BasicConstraintsValid = true
	return x509.CreateCertificate(rand.Reader, template, ca.cert, public, ca.key)
}

func serial() *big.Int {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b[:])
}

func pemOf(der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}) }

func writeKey(path string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return file.WriteWhole(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}
