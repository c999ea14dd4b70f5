package guard

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"liuyun/internal/base/fault"
)

// ACMEOptions say which certificates to get, and where.
type ACMEOptions struct {
	Domains   []string       // under which the listener is reached from outside
	Email     string         // to which the authority writes; may be empty
	Directory string         // URL of the authority; empty is Let's Encrypt
	Roots     *x509.CertPool // by which the directory is trusted; nil: the system's
	Folder    string         // in which certificates and the account's key are kept
	Listen    string         // host:port of the listener
	Log       *slog.Logger
}

// ACME gets and renews certificates of a public authority for a listener. The
// authority proves the name by connecting to port 443 of it (TLS-ALPN-01), which
// must lead to the listener; no second port is needed.
type ACME struct {
	domains []string
	cache   *certmagic.Cache
	config  *certmagic.Config
}

// NewACME returns an ACME that asks nobody before Run. Using it accepts the terms
// of the authority.
func NewACME(o ACMEOptions) (*ACME, error) {
	host, portText, err := net.SplitHostPort(o.Listen)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "%q is no address to listen at", o.Listen)
	}
	port, err := strconv.Atoi(portText)
	if err != nil || port < 1 {
		return nil, fault.New(fault.Invalid, "certificates by ACME need a fixed port, not %q", portText)
	}
	if len(o.Domains) == 0 {
		return nil, fault.New(fault.Invalid, "certificates by ACME need a domain")
	}
	logger := zap.New(slogCore{o.Log.Handler()})
	a := &ACME{domains: o.Domains}
	a.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return a.config, nil },
		Logger:           logger,
	})
	a.config = certmagic.New(a.cache, certmagic.Config{
		Storage:           &certmagic.FileStorage{Path: filepath.Join(o.Folder, "acme")},
		DefaultServerName: o.Domains[0], // for whoever connects by address
		Logger:            logger,
	})
	directory := o.Directory
	if directory == "" {
		directory = certmagic.LetsEncryptProductionCA
	}
	a.config.Issuers = []certmagic.Issuer{certmagic.NewACMEIssuer(a.config, certmagic.ACMEIssuer{
		CA: directory, Email: o.Email, Agreed: true, TrustedRoots: o.Roots, Logger: logger,
		DisableHTTPChallenge: true, ListenHost: host, AltTLSALPNPort: port,
	})}
	return a, nil
}

// TLS is for the listener: it shows the certificates, and answers the authority.
func (a *ACME) TLS() *tls.Config {
	config := a.config.TLSConfig()
	config.MinVersion = tls.VersionTLS12
	config.NextProtos = append([]string{"h2", "http/1.1"}, config.NextProtos...)
	return config
}

// Run gets what certificates are missing and renews them in time, until ctx ends;
// what fails is tried again, ever more rarely. It is ready at once. It must be
// started after the listener, for the authority will call there.
func (a *ACME) Run(ctx context.Context, ready func()) error {
	defer a.cache.Stop()
	if err := a.config.ManageAsync(ctx, a.domains); err != nil {
		return fault.Wrap(err, fault.Unavailable, "certificates of %s cannot be managed", a.domains[0])
	}
	ready()
	<-ctx.Done()
	return nil
}

// slogCore hands the records of certmagic's logger to ours.
type slogCore struct{ handler slog.Handler }

// Enabled, With, Check, Write and Sync make it a zapcore.Core.
func (c slogCore) Enabled(level zapcore.Level) bool {
	return c.handler.Enabled(context.Background(), slogLevel(level))
}

func (c slogCore) With(fields []zapcore.Field) zapcore.Core {
	return slogCore{c.handler.WithAttrs(attrs(fields))}
}

func (c slogCore) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(entry.Level) {
		return checked.AddCore(entry, c)
	}
	return checked
}

func (c slogCore) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	record := slog.NewRecord(entry.Time, slogLevel(entry.Level), "acme: "+entry.Message, 0)
	record.AddAttrs(attrs(fields)...)
	return c.handler.Handle(context.Background(), record)
}

func (c slogCore) Sync() error { return nil }

// slogLevel lowers what certmagic says in passing: getting a certificate takes it
// twenty lines.
func slogLevel(level zapcore.Level) slog.Level {
	switch {
	case level >= zapcore.ErrorLevel:
		return slog.LevelError
	case level == zapcore.WarnLevel:
		return slog.LevelWarn
	default:
		return slog.LevelDebug
	}
}

func attrs(fields []zapcore.Field) []slog.Attr {
	encoder := zapcore.NewMapObjectEncoder()
	list := make([]slog.Attr, 0, len(fields))
	for _, field := range fields {
		field.AddTo(encoder)
		if value, ok := encoder.Fields[field.Key]; ok {
			list = append(list, slog.Any(field.Key, value))
		}
	}
	return list
}
