package live

import (
	"context"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/flow/srt"
)

func (s *Service) openSRT(address string) (*opened, error) {
	listener, err := srt.Listen(address, s.Config.SRTLatency)
	if err != nil {
		return nil, err
	}
	serving := &srt.Server{Desk: desk{s, bySRT}, Log: s.Log, Passphrase: s.Config.SRTPassphrase.Reveal(), Sent: s.sentBy(bySRT)}
	return &opened{
		address: listener.Addr().String(), close: listener.Close,
		serve: func(ctx context.Context) error { return serving.Serve(ctx, listener) },
	}, nil
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
