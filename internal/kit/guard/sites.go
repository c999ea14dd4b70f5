package guard

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"liuyun/internal/base/fault"
)

// SiteOptions say where an edge's certificates come from.
type SiteOptions struct {
	Storage   *SharedStorage // that all edges have in common
	Email     string         // to which the authority writes; may be empty
	Directory string         // URL of the authority; empty is Let's Encrypt
	Roots     *x509.CertPool // by which the directory is trusted; nil: the system's
	Folder    string         // in which an edge keeps copies, for starts without control nodes
	Listen    string         // host:port of the listener; with port 0 no authority is asked
	// Fallback shows a certificate for names that no site has; nil for none.
	Fallback func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	Log      *slog.Logger
}

// SiteCertificates are what an edge shows for the names of sites: uploaded certificates,
// and those of a public authority, which all edges have in common. Of all edges one asks
// for a certificate, and any answers the authority's question for it (TLS-ALPN-01, RFC
// 8737). No handshake has a certificate issued: names are set by [SiteCertificates.Manage]
// alone. It may be used by several goroutines.
type SiteCertificates struct {
	options    SiteOptions
	log        *slog.Logger
	port       int // of the listener; 0 where the system chooses one
	cache      *certmagic.Cache
	config     *certmagic.Config
	copies     copies
	challenges challenges
	table      atomic.Pointer[table]
	wake       chan struct{}

	mu       sync.Mutex
	managed  map[string]*managed
	leaving  []*managed
	uploaded []UploadedPair
	parsed   map[[sha256.Size]byte]*tls.Certificate // of uploaded
}

// UploadedPair is a certificate with its chain and its key, in PEM, for some hosts.
type UploadedPair struct {
	Hosts       []string
	Certificate string
	Key         string
}

// managed is a name for which an authority is asked.
type managed struct {
	name    string
	shown   *tls.Certificate // nil while there is none
	failure string
	cancel  context.CancelFunc // nil until it is being kept
	ended   chan struct{}
}

const (
	// MostManaged is how many names of sites have certificates of an authority. Each
	// that has none yet costs an edge a goroutine.
	MostManaged = 5000

	lookEvery    = 30 * time.Second // for certificates that were renewed
	tryFirst     = 30 * time.Second // after what went wrong
	tryLast      = time.Hour
	tryWhileAway = 15 * time.Second
)

// NewSiteCertificates returns what asks nobody before Run. Using it accepts the terms of
// the authority.
func NewSiteCertificates(o SiteOptions) (*SiteCertificates, error) {
	host, portText, err := net.SplitHostPort(o.Listen)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "%q is no address to listen at", o.Listen)
	}
	port, err := strconv.Atoi(portText)
	if err != nil || port < 0 {
		return nil, fault.New(fault.Invalid, "%q is no port to listen at", portText)
	}
	s := &SiteCertificates{
		options: o, log: o.Log, port: port, wake: make(chan struct{}, 1), managed: make(map[string]*managed),
	}
	if s.copies, err = openCopies(o.Folder); err != nil {
		return nil, err
	}
	logger := zap.New(slogCore{o.Log.Handler()})
	s.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return s.config, nil },
		Logger:           logger,
	})
	s.config = certmagic.New(s.cache, certmagic.Config{
		Storage: o.Storage, DisableStorageCheck: true, OnEvent: s.event, Logger: logger,
		OCSP: certmagic.OCSPConfig{DisableStapling: true}, // it would be asked for by each edge
	})
	directory := o.Directory
	if directory == "" {
		directory = certmagic.LetsEncryptProductionCA
	}
	issuer := certmagic.NewACMEIssuer(s.config, certmagic.ACMEIssuer{
		CA: directory, Email: o.Email, Agreed: true, TrustedRoots: o.Roots, Logger: logger,
		DisableHTTPChallenge: true, ListenHost: host, AltTLSALPNPort: port,
	})
	s.config.Issuers = []certmagic.Issuer{issuer}
	s.challenges = challenges{storage: o.Storage, issuer: issuer.IssuerKey(), found: make(map[string]*challenge)}
	s.table.Store(&table{})
	return s, nil
}

// TLS is for the listener.
func (s *SiteCertificates) TLS() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.get, NextProtos: []string{"h2", "http/1.1", alpnChallenge}}
}

// SetUploaded says which uploaded certificates there are, instead of those before. Those
// that cannot be read are left out, and are what the error is about.
func (s *SiteCertificates) SetUploaded(pairs []UploadedPair) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	parsed := make(map[[sha256.Size]byte]*tls.Certificate, len(pairs))
	var failures []error
	s.uploaded = nil
	for _, pair := range pairs {
		sum := pair.sum()
		certificate := s.parsed[sum]
		if certificate == nil {
			made, err := tls.X509KeyPair([]byte(pair.Certificate), []byte(pair.Key))
			if err != nil {
				failures = append(failures, fault.Wrap(err, fault.Invalid, "the uploaded certificate of %s cannot be read", strings.Join(pair.Hosts, ", ")))
				continue
			}
			certificate = &made
		}
		parsed[sum] = certificate
		s.uploaded = append(s.uploaded, UploadedPair{Hosts: slices.Clone(pair.Hosts), Certificate: pair.Certificate, Key: pair.Key})
	}
	s.parsed = parsed
	s.publish()
	return errors.Join(failures...)
}

func (p UploadedPair) sum() [sha256.Size]byte {
	return sha256.Sum256([]byte(strconv.Itoa(len(p.Certificate)) + p.Certificate + p.Key))
}

// CheckManaged is fault.Invalid for a name that no certificate can be had for here.
func CheckManaged(host string) error {
	if strings.HasPrefix(host, "*.") {
		return fault.New(fault.Invalid, "%s: an authority gives certificates for * only to who changes the DNS (RFC 8555, section 7.1.3); upload one, or name each host", host)
	}
	if !certmagic.SubjectQualifiesForPublicCert(host) || net.ParseIP(host) != nil || host != hostName(host) || !plainHost(host) {
		return fault.New(fault.Invalid, "%q: an authority gives certificates for public names of hosts only", host)
	}
	return nil
}

// plainHost reports whether host has two labels at least, of letters, digits and hyphens
// (RFC 1123, section 2.1).
func plainHost(host string) bool {
	if len(host) > 253 || !strings.Contains(host, ".") {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		other := strings.ContainsFunc(label, func(r rune) bool { return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') })
		if other || label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
	}
	return true
}

// Manage says which names have certificates of the authority, instead of those before.
// What an edge has a copy of is shown at once; the rest comes while Run runs. Names that
// cannot have one, those above [MostManaged], and all where the listener has no fixed port,
// are left out, and are what the error is about.
func (s *SiteCertificates) Manage(names []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	wanted := make(map[string]bool, len(names))
	var failures []error
	if s.port == 0 && len(names) > 0 {
		failures = append(failures, fault.New(fault.Invalid, "certificates by ACME need a fixed port, at which the authority calls; listen at one"))
		names = nil
	}
	for _, name := range names {
		if err := CheckManaged(name); err != nil {
			failures = append(failures, err)
			continue
		}
		wanted[name] = true
	}
	for name, m := range s.managed {
		if !wanted[name] {
			delete(s.managed, name)
			s.leaving = append(s.leaving, m)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		if s.managed[name] != nil {
			continue
		}
		if len(s.managed) >= MostManaged {
			failures = append(failures, fault.New(fault.Limit, "more than %d names want certificates by ACME; %s and those after it have none", MostManaged, name))
			break
		}
		s.managed[name] = &managed{name: name, shown: s.copies.load(name, time.Now()), ended: make(chan struct{})}
	}
	s.publish()
	s.nudge()
	return errors.Join(failures...)
}

// nudge has Run look now.
func (s *SiteCertificates) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run gets what certificates are missing and renews them in time, until ctx ends. It is
// ready at once. It must be started after the listener, for the authority will call there.
func (s *SiteCertificates) Run(ctx context.Context, ready func()) error {
	defer s.cache.Stop()
	var running sync.WaitGroup
	defer running.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ready()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	daily := time.NewTicker(24 * time.Hour)
	defer daily.Stop()
	s.copies.prune(time.Now())
	for {
		s.begin(ctx, &running)
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		case <-tick.C:
		case <-daily.C:
			s.copies.prune(time.Now())
		}
		s.look()
	}
}

// begin starts to keep the names that are new, and ends what is not wanted any more.
func (s *SiteCertificates) begin(ctx context.Context, running *sync.WaitGroup) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.managed {
		if m.cancel != nil {
			continue
		}
		var keeping context.Context
		keeping, m.cancel = context.WithCancel(ctx)
		running.Go(func() {
			defer close(m.ended)
			s.obtain(keeping, m)
		})
	}
	s.leaving = slices.DeleteFunc(s.leaving, func(m *managed) bool {
		if m.cancel == nil {
			return true // it never began
		}
		m.cancel()
		select {
		case <-m.ended:
		default:
			return false
		}
		if s.managed[m.name] == nil {
			s.cache.RemoveManaged([]certmagic.SubjectIssuer{{Subject: m.name}})
		}
		return true
	})
}

// obtain goes on until certmagic has a certificate for the name, which it will renew.
func (s *SiteCertificates) obtain(ctx context.Context, m *managed) {
	wait := tryFirst
	for {
		_, err := s.config.CacheManagedCertificate(ctx, m.name)
		if errors.Is(err, fs.ErrNotExist) {
			// Of all edges one asks, as often as it takes; the others wait for its lock.
			if err = s.config.ObtainCertAsync(ctx, m.name); err == nil {
				_, err = s.config.CacheManagedCertificate(ctx, m.name)
			}
		}
		if err == nil {
			s.tried(m.name, "")
			s.nudge()
			return
		}
		if ctx.Err() != nil {
			return
		}
		s.tried(m.name, err.Error())
		pausing := wait
		if s.options.Storage.Away() {
			pausing = tryWhileAway // the bus says that it is, once for all names
		} else {
			s.log.Warn("no certificate yet", "host", m.name, "cause", err)
			wait = min(wait*2, tryLast)
		}
		if pause(ctx, pausing) != nil {
			return
		}
	}
}

// event is called by certmagic, which tries again by itself.
func (s *SiteCertificates) event(_ context.Context, event string, data map[string]any) error {
	name, _ := data["identifier"].(string)
	if err, ok := data["error"].(error); ok && event == "cert_failed" {
		s.tried(name, err.Error())
	}
	return nil
}

// tried notes what went wrong in the last try for a name, or "".
func (s *SiteCertificates) tried(name, failure string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.managed[name]; m != nil {
		m.failure = failure
	}
}

// look takes over what certmagic has got or renewed.
func (s *SiteCertificates) look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := false
	for _, m := range s.managed {
		newest := s.newest(m.name)
		if newest == nil || m.shown != nil && !newest.Leaf.NotBefore.After(m.shown.Leaf.NotBefore) {
			continue
		}
		m.shown, m.failure, changed = newest, "", true
		if err := s.copies.save(m.name, newest); err != nil {
			s.log.Warn("no copy of the certificate was kept; without control nodes this edge could not start with it", "host", m.name, "cause", err)
		}
	}
	if changed {
		s.publish()
	}
}

// newest returns the certificate of certmagic for a name that began last, or nil.
func (s *SiteCertificates) newest(name string) *tls.Certificate {
	var newest *tls.Certificate
	for _, c := range s.cache.AllMatchingCertificates(name) {
		if c.Leaf != nil && c.Leaf.VerifyHostname(name) == nil && (newest == nil || c.Leaf.NotBefore.After(newest.Leaf.NotBefore)) {
			newest = &c.Certificate
		}
	}
	return newest
}
