package guard

import (
	"crypto/tls"
	"slices"
	"strings"
	"time"
)

// table is what is shown for which name. It does not change: handshakes read it without
// a lock, and without asking anybody.
type table struct {
	hosts   map[string]*tls.Certificate
	below   map[string]*tls.Certificate // example.org for *.example.org
	managed map[string]bool
}

// publish makes a new table. Where a name has both, what was uploaded is shown.
func (s *SiteCertificates) publish() {
	t := &table{hosts: make(map[string]*tls.Certificate), below: make(map[string]*tls.Certificate), managed: make(map[string]bool)}
	for name, m := range s.managed {
		t.managed[name] = true
		if m.shown != nil {
			t.hosts[name] = m.shown
		}
	}
	for _, pair := range s.uploaded {
		certificate := s.parsed[pair.sum()]
		for _, host := range pair.Hosts {
			if domain, ok := strings.CutPrefix(host, "*."); ok {
				t.below[hostName(domain)] = certificate
			} else {
				t.hosts[hostName(host)] = certificate
			}
		}
	}
	s.table.Store(t)
}

// find returns the certificate for a name, or nil. A * stands for one label.
func (t *table) find(name string) *tls.Certificate {
	if certificate := t.hosts[name]; certificate != nil {
		return certificate
	}
	if _, domain, ok := strings.Cut(name, "."); ok {
		return t.below[domain]
	}
	return nil
}

// hostName is how a name is looked up: in lower case, without the dot at its end. A name
// that is so already is returned as it is.
func hostName(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// get is the certificate for a handshake. Nothing at all makes crypto/tls answer
// unrecognized_name (RFC 6066, section 3).
func (s *SiteCertificates) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	t, name := s.table.Load(), hostName(hello.ServerName)
	if t.managed[name] && slices.Equal(hello.SupportedProtos, []string{alpnChallenge}) {
		if err := s.challenges.open(hello.Context(), name); err != nil {
			return nil, err
		}
		return s.config.GetCertificate(hello)
	}
	if certificate := t.find(name); certificate != nil {
		return certificate, nil
	}
	if s.options.Fallback != nil {
		return s.options.Fallback(hello)
	}
	return nil, nil
}

// CertificateState says how it is with a name that has its certificate of an authority.
type CertificateState struct {
	Name     string
	NotAfter time.Time // zero while there is none
	Failure  string    // of the last try; empty when there was none since
}

// States returns how it is with all managed names, sorted by name.
func (s *SiteCertificates) States() []CertificateState {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]CertificateState, 0, len(s.managed))
	for name, m := range s.managed {
		state := CertificateState{Name: name, Failure: m.failure}
		if m.shown != nil {
			state.NotAfter = m.shown.Leaf.NotAfter
		}
		all = append(all, state)
	}
	slices.SortFunc(all, func(a, b CertificateState) int { return strings.Compare(a.Name, b.Name) })
	return all
}
