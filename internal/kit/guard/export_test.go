package guard

import (
	"context"

	"github.com/caddyserver/certmagic"
)

// Renew does now what is done every ten minutes.
func (s *SiteCertificates) Renew(ctx context.Context) error {
	err := s.cache.RenewManagedCertificates(ctx)
	s.look()
	return err
}

// PairFolder is where the certificate of a name lies in the storage.
func (s *SiteCertificates) PairFolder(name string) string {
	return certmagic.StorageKeys.CertsSitePrefix(s.challenges.issuer, name)
}
