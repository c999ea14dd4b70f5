package guard

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/base/file"
)

// Identity is what a node that joined has to show: its key, its certificate and
// the authority behind it. It may be used by several goroutines; a new certificate
// is shown in the next handshake.
type Identity struct {
	folder string
	roots  *x509.CertPool
	caPEM  []byte

	mu      sync.RWMutex
	present *tls.Certificate
}

// NewRequest makes the key of a node and a request for its certificate, in PEM.
func NewRequest() (key *ecdsa.PrivateKey, request []byte, err error) {
	key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{Organization: []string{nodeOrganization}}}, key)
	return key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), err
}

// SaveIdentity keeps a key and the certificate that answered its request in
// folder (node.pem, node-ca.crt), and returns them. The certificate and its key
// are one file, so that they always fit each other.
func SaveIdentity(folder string, key *ecdsa.PrivateKey, certificate, ca []byte) (*Identity, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	pair := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), certificate...)
	id, err := newIdentity(folder, pair, ca)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	if err := file.WriteWhole(filepath.Join(folder, "node-ca.crt"), ca, 0o644); err != nil {
		return nil, err
	}
	return id, file.WriteWhole(filepath.Join(folder, "node.pem"), pair, 0o600)
}

// OpenIdentity reads what SaveIdentity kept. It is fault.NotFound when this
// machine has not joined.
func OpenIdentity(folder string) (*Identity, error) {
	pair, err := os.ReadFile(filepath.Join(folder, "node.pem"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.NotFound, "this machine has not joined; start it with --join and a token of a control node")
	}
	if err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(filepath.Join(folder, "node-ca.crt"))
	if err != nil {
		return nil, err
	}
	return newIdentity(folder, pair, ca)
}

func newIdentity(folder string, pair, ca []byte) (*Identity, error) {
	certificate, err := tls.X509KeyPair(pair, pair)
	if err != nil {
		return nil, fmt.Errorf("certificate of this node: %w", err)
	}
	id := &Identity{folder: folder, roots: x509.NewCertPool(), caPEM: ca, present: &certificate}
	if !id.roots.AppendCertsFromPEM(ca) {
		return nil, errors.New("certificate of this node: no authority in PEM")
	}
	_, err = certificate.Leaf.Verify(x509.VerifyOptions{Roots: id.roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	var ended x509.CertificateInvalidError
	if errors.As(err, &ended) && ended.Reason == x509.Expired {
		return nil, fault.Wrap(err, fault.Forbidden, "the certificate of this node ended on %s; join again with a new token, and check the clock", certificate.Leaf.NotAfter.Format(time.DateOnly))
	}
	if err != nil {
		return nil, fmt.Errorf("certificate of this node: %w", err)
	}
	return id, nil
}

func (id *Identity) certificate() *tls.Certificate {
	id.mu.RLock()
	defer id.mu.RUnlock()
	return id.present
}

// Node returns the node's id.
func (id *Identity) Node() string { return id.certificate().Leaf.Subject.CommonName }

// Due reports whether it is time to renew: half of its life has gone.
func (id *Identity) Due(now time.Time) bool { return due(id.certificate().Leaf, now) }

// Replace keeps and shows a new key and certificate.
func (id *Identity) Replace(key *ecdsa.PrivateKey, certificate []byte) error {
	next, err := SaveIdentity(id.folder, key, certificate, id.caPEM)
	if err != nil {
		return err
	}
	id.mu.Lock()
	defer id.mu.Unlock()
	id.present = next.present
	return nil
}

// Pool returns the authority of this node alone.
func (id *Identity) Pool() *x509.CertPool { return id.roots }

// Server is a certificate for what a control node listens on; it goes into
// tls.Config.GetCertificate.
func (id *Identity) Server(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return id.certificate(), nil
}

// ClientTLS shows the node's certificate and trusts control nodes of its authority
// alone, whatever their address.
func (id *Identity) ClientTLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		RootCAs:    id.roots,
		ServerName: ControlName,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return id.certificate(), nil
		},
	}
}

// PinnedTLS trusts a control node whose chain ends in the authority with that
// hash, and nothing else: what a join token holds is enough to know it.
func PinnedTLS(caHash []byte) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		ServerName:         ControlName,
		InsecureSkipVerify: true, // VerifyConnection checks instead
		VerifyConnection: func(state tls.ConnectionState) error {
			for _, cert := range state.PeerCertificates[1:] {
				if sum := sha256.Sum256(cert.Raw); subtle.ConstantTimeCompare(sum[:], caHash) != 1 {
					continue
				}
				roots := x509.NewCertPool()
				roots.AddCert(cert)
				_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, DNSName: ControlName})
				return err
			}
			return fault.New(fault.Forbidden, "that server is not the one which made the join token; check the address, or make a new token")
		},
	}
}

// NodeTLS is for a node listener: it shows the control node's certificate and asks
// for that of a node, which only enrolment can do without. Certificate comes from
// [CA.Server] with [ControlName] among its names.
func NodeTLS(certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error), nodes *x509.CertPool) *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS13,
		GetCertificate: certificate,
		ClientCAs:      nodes,
		ClientAuth:     tls.VerifyClientCertIfGiven,
	}
}

// PeerNode returns the id of the node whose verified certificate the connection
// has shown. Whether it may still come is in the records.
func PeerNode(state *tls.ConnectionState) (node string, ok bool) {
	if state == nil || len(state.VerifiedChains) == 0 {
		return "", false
	}
	leaf := state.VerifiedChains[0][0]
	if len(leaf.Subject.Organization) != 1 || leaf.Subject.Organization[0] != nodeOrganization {
		return "", false
	}
	return leaf.Subject.CommonName, true
}
