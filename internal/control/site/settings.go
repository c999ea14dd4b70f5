package site

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/edge"
)

// mostSites bounds those of one tenant.
const mostSites = 1000

const (
	tlsOff      = "off"
	tlsACME     = "acme"
	tlsUploaded = "uploaded"
)

// check brings what is said of a site into the form in which it is kept, and says what
// is wrong with it. Keys that are not said again are those of the origins before.
func (s *Service) check(r *record, before []edge.Origin) error {
	r.Name = strings.TrimSpace(r.Name)
	for n, host := range r.Hosts {
		var err error
		if r.Hosts[n], err = checkHost(host); err != nil {
			return err
		}
		if slices.Contains(r.Hosts[:n], r.Hosts[n]) {
			return fault.New(fault.Invalid, "hosts: %s is there twice", host)
		}
	}
	for n := range r.Origins {
		if err := checkOrigin(&r.Origins[n], before); err != nil {
			return err
		}
	}
	if !slices.ContainsFunc(r.Origins, func(o edge.Origin) bool { return !o.Backup }) {
		return fault.New(fault.Invalid, "origins: one at least has to be no backup")
	}
	if h := r.Health; h != nil && !strings.HasPrefix(h.Path, "/") {
		return fault.New(fault.Invalid, "health: path %q has to begin with /", h.Path)
	}
	if r.TLS == "" {
		r.TLS = tlsOff
	}
	if r.Rules == nil {
		r.Rules = []edge.Rule{}
	}
	if r.TLS == tlsUploaded && r.Certificate == "" {
		return fault.New(fault.Invalid, "tls: upload a certificate first, with PUT /v1/sites/{id}/certificate")
	}
	if r.TLS == tlsUploaded {
		if err := s.deps.CheckPair(r.Certificate, r.Key, r.Hosts); err != nil {
			return err
		}
	}
	if r.TLS == tlsACME {
		for _, host := range r.Hosts {
			if err := s.deps.CheckManaged(host); err != nil {
				return err
			}
		}
	}
	return s.deps.CheckRules(r.Rules)
}

// checkHost reads a name that viewers come by.
func checkHost(host string) (string, error) {
	host = strings.TrimSuffix(strings.ToLower(strings.TrimSpace(host)), ".")
	if address, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		if address.Is6() {
			return "[" + address.String() + "]", nil
		}
		return address.String(), nil
	}
	name := strings.TrimPrefix(host, "*.")
	if len(host) > 253 || name == "" || host != name && !strings.Contains(name, ".") {
		return "", badHost(host)
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return "", badHost(host)
		}
		for _, c := range label {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return "", badHost(host)
			}
		}
	}
	return host, nil
}

func badHost(host string) error {
	return fault.New(fault.Invalid, "hosts: %q is no name; write www.example.org, or *.example.org for all names one level below, without scheme and port, and names of other scripts as xn--…", host)
}

func checkOrigin(o *edge.Origin, before []edge.Origin) error {
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return fault.New(fault.Invalid, "origins: %q: write an address such as https://origin.example.org or http://10.0.0.5:8080/base", o.URL)
	}
	if strings.ContainsAny(o.Host, "/?#\\@ \t\r\n") {
		return fault.New(fault.Invalid, "origins: host %q is no name", o.Host)
	}
	o.Weight = max(o.Weight, 1)
	if o.ClientCertificate != "" && o.ClientKey == "" {
		for _, old := range before {
			if old.URL == o.URL && old.ClientCertificate == o.ClientCertificate {
				o.ClientKey = old.ClientKey
			}
		}
	}
	if o.ClientCertificate != "" || o.ClientKey != "" {
		if u.Scheme != "https" {
			return fault.New(fault.Invalid, "origins: %s: a client certificate needs https", o.URL)
		}
		if _, err := tls.X509KeyPair([]byte(o.ClientCertificate), []byte(o.ClientKey)); err != nil {
			return fault.Wrap(err, fault.Invalid, "origins: %s: client_certificate and client_key are no pair in PEM", o.URL)
		}
	}
	if o.CA != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(o.CA)) {
		return fault.New(fault.Invalid, "origins: %s: ca has no certificate in PEM", o.URL)
	}
	return nil
}

// checkPurge brings what is to be purged into the form in which edges know it, and says
// what is wrong with it. Hosts are those of the site.
func checkPurge(p *edge.Purge, hosts []string) error {
	p.Value = strings.TrimSpace(p.Value)
	switch p.Kind {
	case edge.PurgeAll:
		if p.Value != "" {
			return fault.New(fault.Invalid, "value: all needs none")
		}
		return nil
	case edge.PurgeTag:
		if p.Value == "" || strings.ContainsAny(p.Value, ", \t\r\n") {
			return fault.New(fault.Invalid, "value: write one tag, without spaces and commas")
		}
		return nil
	}
	// People copy addresses from their browser.
	value := strings.TrimPrefix(strings.TrimPrefix(p.Value, "https://"), "http://")
	host, path, slash := strings.Cut(value, "/")
	host = strings.ToLower(host)
	if p.Site == edge.Cloud { // edges have names of their own
		host = edge.CloudHost
	}
	if host == "" {
		return fault.New(fault.Invalid, "value: it has to begin with a host, as www.example.org/film.mp4")
	}
	if hosts != nil && !slices.ContainsFunc(hosts, func(name string) bool { return fits(name, host) }) {
		return fault.New(fault.Invalid, "value: %s is no name of this site; it has %s", host, strings.Join(hosts, ", "))
	}
	switch {
	case p.Kind == edge.PurgeHost && slash && path != "":
		return fault.New(fault.Invalid, "value: write the host alone, or choose url or prefix")
	case p.Kind == edge.PurgeHost:
		p.Value = host
		return nil
	case !slash:
		return fault.New(fault.Invalid, "value: write host/path, or choose host")
	}
	if p.Kind == edge.PurgePrefix {
		path = strings.TrimSuffix(path, "*")
		if path != "" && !strings.HasSuffix(path, "/") || strings.Contains(path, "?") {
			return fault.New(fault.Invalid, "value: a prefix ends with /, as www.example.org/films/")
		}
	}
	u, err := url.Parse("http://" + host + "/" + path)
	if err != nil || u.Host != host || u.Fragment != "" {
		return fault.Wrap(err, fault.Invalid, "value: %q is no address", p.Value)
	}
	p.Value = host + u.EscapedPath()
	if u.RawQuery != "" || u.ForceQuery {
		p.Value += "?" + u.RawQuery
	}
	return nil
}

// fits reports whether a host is one of a name of a site.
func fits(name, host string) bool {
	if plain, _, found := strings.Cut(host, ":"); found && !strings.HasPrefix(host, "[") {
		host = plain
	}
	if name == host {
		return true
	}
	_, parent, found := strings.Cut(host, ".")
	return found && name == "*."+parent
}

// show is a site without its secrets.
func show(r record) Site {
	s := Site{ID: r.ID, Settings: r.Settings, Rev: r.Revision, CreatedAt: r.Created, UpdatedAt: r.Updated}
	s.Origins = slices.Clone(r.Origins)
	for n := range s.Origins {
		s.Origins[n].ClientKey = ""
	}
	if r.Certificate != "" {
		if pair, err := tls.X509KeyPair([]byte(r.Certificate), []byte(r.Key)); err == nil {
			names := append([]string{}, pair.Leaf.DNSNames...)
			for _, ip := range pair.Leaf.IPAddresses {
				names = append(names, ip.String())
			}
			s.Certificate = &Certificate{names, pair.Leaf.NotAfter.UTC()}
		}
	}
	return s
}

func sortOrigins(list []OriginAtEdge) {
	slices.SortFunc(list, func(a, b OriginAtEdge) int {
		return cmp.Or(strings.Compare(a.URL, b.URL), strings.Compare(a.Edge, b.Edge))
	})
}

func badUsage(err error) error {
	return fault.Wrap(err, fault.Invalid, "this is no usage of an edge")
}
