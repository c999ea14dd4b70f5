package live

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/flow/srt"
	"liuyun/internal/flow/ts"
	"liuyun/internal/kit/dial"
)

// source is where a stream comes from that nobody pushes.
type source struct {
	URL, Asset string // one of them; neither where encoders push
	Node       string // fetches it, unless the stream is stopped
}

func (s source) exists() bool { return s.URL != "" || s.Asset != "" }

// SourceState says how far a source is.
type SourceState string

// The states.
const (
	SourceStopped    SourceState = "stopped"    // it is not fetched: the stream is stopped
	SourceConnecting SourceState = "connecting" // nothing has come yet
	SourceRunning    SourceState = "running"    // it sends
	SourceWaiting    SourceState = "waiting"    // it failed or ended, and is tried again
)

// StreamSource is where a stream comes from that nobody pushes.
type StreamSource struct {
	URL     string      `json:"url" doc:"Passwords in it are left out. Empty for an asset."`
	Asset   string      `json:"asset" doc:"Empty for an address."`
	State   SourceState `json:"state" enum:"stopped,connecting,running,waiting"`
	Problem string      `json:"problem" doc:"Why it waits; else empty."`
	NextTry *time.Time  `json:"next_try" doc:"When it is tried again; null unless it waits."`
}

// NewStreamSource says where a stream shall come from: one of both, or neither to have
// encoders push.
type NewStreamSource struct {
	URL   string `json:"url,omitempty" maxLength:"2000" doc:"srt://host:port?streamid=…&passphrase=…&latency=milliseconds, rtsp://, rtsps://, http:// or https:// (HLS, or a transport stream), udp://0.0.0.0:port."`
	Asset string `json:"asset,omitempty" maxLength:"64" doc:"An asset that is played again and again."`
}

// newSource checks what is asked for.
func (s *Service) newSource(ctx context.Context, tenant string, in NewStreamSource) (source, error) {
	to := source{URL: in.URL, Asset: in.Asset}
	switch {
	case !to.exists():
		return to, nil
	case to.URL != "" && to.Asset != "":
		return to, fault.New(fault.Invalid, "a source is an address or an asset, not both")
	case to.Asset != "":
		if _, err := s.Published(ctx, tenant, to.Asset); err != nil {
			return to, err
		}
	default:
		if err := s.checkAddress(to.URL); err != nil {
			return to, err
		}
	}
	return to, s.startHere(&to)
}

// startHere has this node fetch a source.
func (s *Service) startHere(to *source) error {
	if s.context().Err() != nil {
		return fault.New(fault.Unavailable, "this node takes no streams in; ask one with the role live")
	}
	to.Node = s.Node
	return nil
}

// checkAddress says what is wrong with the address of a source.
func (s *Service) checkAddress(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return fault.New(fault.Invalid, "the source is no address such as srt://host:port or https://host/live.m3u8")
	}
	switch u.Scheme {
	case "srt":
		return srt.CheckAddress(address)
	case "udp":
		to, err := ts.ParseUDP(address)
		if err == nil && !s.Config.mayListen(to.Address.Port) {
			return fault.New(fault.Forbidden, "port %d is not one that streams may come to: the operator lists them in live.udp_ports", to.Address.Port)
		}
		return err
	case "rtsp", "rtsps", "http", "https":
		if u.Fragment != "" {
			return fault.New(fault.Invalid, "the address has a fragment (#); leave it out")
		}
		return nil
	}
	return fault.New(fault.Invalid, "%q is no protocol that streams are fetched by: srt, rtsp, rtsps, http, https and udp are", u.Scheme)
}

// portRange reads PORT or FIRST-LAST.
func portRange(text string) (first, last int, ok bool) {
	low, high, more := strings.Cut(text, "-")
	if !more {
		high = low
	}
	first, err1 := strconv.Atoi(strings.TrimSpace(low))
	last, err2 := strconv.Atoi(strings.TrimSpace(high))
	return first, last, err1 == nil && err2 == nil && first > 0 && first <= last && last < 1<<16
}

// mayListen reports whether a port is one of those that sources may come to.
func (c Config) mayListen(port int) bool {
	for _, text := range c.UDPPorts {
		if first, last, ok := portRange(text); ok && first <= port && port <= last {
			return true
		}
	}
	return false
}

// validateSources checks what of the section is for sources.
func (c Config) validateSources() error {
	for _, text := range c.UDPPorts {
		if _, _, ok := portRange(text); !ok {
			return fault.New(fault.Invalid, "udp_ports has %q; write a port or a range, as in 5000 or 5000-5010", text)
		}
	}
	_, err := dial.New(c.Allow)
	return err
}

// shown is the source as the API shows it.
func (s *Service) shown(r *stream) *StreamSource {
	if !r.Source.exists() {
		return nil
	}
	d := &StreamSource{URL: withoutSecrets(r.Source.URL), Asset: r.Source.Asset, State: SourceStopped}
	if r.Stopped {
		return d
	}
	d.State = SourceConnecting
	if r.Status == Live {
		d.State = SourceRunning // perhaps by another node
	}
	s.fetching.mu.Lock()
	defer s.fetching.mu.Unlock()
	if f := s.fetching.running[r.ID]; f != nil {
		f.show(d)
	}
	return d
}

// withoutSecrets is an address without the passwords in it, nor what may be one: all of
// its query but what only says how to connect.
func withoutSecrets(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	if _, has := u.User.Password(); has {
		u.User = url.UserPassword(u.User.Username(), hiddenPart)
	}
	q := u.Query()
	for name := range q {
		if !slices.Contains([]string{"mode", "latency", "interface"}, name) {
			q.Set(name, hiddenPart)
		}
	}
	u.RawQuery = q.Encode()
	return u.String()
}

const hiddenPart = "xxxxx"
