package live

import (
	"context"
	"errors"
	"net"
	"syscall"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/flow/srt"
)

// listenSRT opens the port of SRT, or returns nil where there is none.
func (s *Service) listenSRT(on Listener) (server, error) {
	if on.Address == "" {
		return nil, nil
	}
	listener, err := srt.Listen(on.Address, s.Config.SRTLatency)
	switch {
	case err == nil:
	case on.Optional && errors.Is(err, syscall.EADDRINUSE):
		s.Log.Warn("no SRT: another program has the port; choose another with live.srt_listen", "address", on.Address)
		return nil, nil
	default:
		return nil, fault.Wrap(err, fault.Unavailable, "%s cannot be listened on for SRT: %v; choose another address with live.srt_listen", on.Address, err)
	}
	address := listener.Addr().String()
	s.Log.Info("SRT is listened for", "address", address)
	s.listens("srt", address)
	serving := &srt.Server{Desk: s, Log: s.Log, Passphrase: s.Config.SRTPassphrase.Reveal(), Sent: s.sentTo}
	return func(ctx context.Context) error { return serving.Serve(ctx, listener) }, nil
}

// srtURL is what encoders are told, without a key; "" where nothing is listened for.
func (s *Service) srtURL() string {
	if s.Config.SRTURL != "" {
		return s.Config.SRTURL
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listening["srt"] == "" {
		return ""
	}
	return "srt://" + s.Reach(s.listening["srt"])
}

// validateSRT checks what of the section is for SRT.
func (c Config) validateSRT() error {
	if _, _, err := net.SplitHostPort(c.SRTListen); c.SRTListen != "" && err != nil {
		return fault.New(fault.Invalid, "srt_listen %q: write host:port, as in 0.0.0.0:8890", c.SRTListen)
	}
	if c.SRTURL != "" && srt.CheckAddress(c.SRTURL) != nil {
		return fault.New(fault.Invalid, "srt_url %q is not an address such as srt://live.example.org:8890", c.SRTURL)
	}
	if n := len(c.SRTPassphrase.Reveal()); n > 0 && (n < srt.ShortestPassphrase || n > srt.LongestPassphrase) {
		return fault.New(fault.Invalid, "srt_passphrase has %d characters; it has to have %d to %d", n, srt.ShortestPassphrase, srt.LongestPassphrase)
	}
	if c.SRTLatency < 20*time.Millisecond || c.SRTLatency > srt.LongestLatency {
		return fault.New(fault.Invalid, "srt_latency is %s; choose between 20ms and %s", c.SRTLatency, srt.LongestLatency)
	}
	return nil
}
