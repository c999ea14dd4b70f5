package edge

import "time"

// The subjects by which edges keep the certificates of sites, and what belongs to them,
// at the control nodes. Each request is answered when it is kept.
const (
	SubjectCertificateLoad   = "edge.certificate.load"   // CertificateLoad, answered by CertificateValue
	SubjectCertificateList   = "edge.certificate.list"   // CertificateList, answered by CertificateKeys
	SubjectCertificateChange = "edge.certificate.change" // CertificateChange
	SubjectCertificateLock   = "edge.certificate.lock"   // CertificateLock, answered by CertificateHold
	SubjectCertificateRenew  = "edge.certificate.renew"  // CertificateHold
	SubjectCertificateUnlock = "edge.certificate.unlock" // CertificateHold
)

// CertificateLoad asks for what is under a key.
type CertificateLoad struct {
	Key string `json:"key"`
}

// CertificateValue is what is under a key.
type CertificateValue struct {
	Value    []byte    `json:"value"`
	Modified time.Time `json:"modified"`
}

// CertificateList asks for keys below Prefix, in their order, those after After.
type CertificateList struct {
	Prefix string `json:"prefix"`
	After  string `json:"after,omitempty"`
}

// CertificateKeys are some keys. More says that more are to be asked for.
type CertificateKeys struct {
	Keys []string `json:"keys"`
	More bool     `json:"more,omitempty"`
}

// CertificateChange puts all of Put, and removes Remove and what is below it; all of
// that or nothing.
type CertificateChange struct {
	Put    []CertificateEntry `json:"put,omitempty"`
	Remove string             `json:"remove,omitempty"`
	// Under is the lock that protects what is changed; nil where there is none. When
	// another has got it since, nothing is changed.
	Under *CertificateHold `json:"under,omitempty"`
}

// CertificateEntry is a value under a key.
type CertificateEntry struct {
	Key   string `json:"key"`
	Value []byte `json:"value"`
}

// CertificateLock asks for a lock. Holder is chosen anew for each: who asks again with
// the same one, because no answer came, gets the same.
type CertificateLock struct {
	Name   string `json:"name"`
	Holder string `json:"holder"`
}

// CertificateHold is a lock that somebody has got. Token grows with each who gets it.
type CertificateHold struct {
	Name  string `json:"name"`
	Token int64  `json:"token"`
}
