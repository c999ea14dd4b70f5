package live

import (
	"testing"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/base/secret"
)

// What cannot be meant is refused when the server starts, in words.
func TestConfig(t *testing.T) {
	t.Parallel()
	set := func(change func(*Config)) Config {
		c := DefaultConfig()
		change(&c)
		return c
	}
	for name, c := range map[string]Config{
		"default": DefaultConfig(),
		"addresses": set(func(c *Config) {
			c.RTMPURL, c.RTMPSURL, c.RTSPURL = "rtmp://live.example.org/live", "rtmps://live.example.org:1936/live", "rtsp://live.example.org:8554/live"
			c.SRTURL, c.WHIPURL, c.WebRTCHosts = "srt://live.example.org:8890", "https://live.example.org/whip", []string{"live.example.org", "203.0.113.7", "2001:db8::7"}
		}),
		"ports": set(func(c *Config) { c.TURNListen, c.UDPPorts = "0.0.0.0:3478", []string{"5000", "5010-5020"} }),
		"parts": set(func(c *Config) { c.Part, c.Window = 200*time.Millisecond, time.Minute }),
	} {
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, change := range map[string]func(*Config){
		"listen":      func(c *Config) { c.RTMPListen = "1935" },
		"rtmp":        func(c *Config) { c.RTMPURL = "http://live.example.org" },
		"rtmps":       func(c *Config) { c.RTMPSURL = "rtmp://live.example.org" },
		"rtsp":        func(c *Config) { c.RTSPURL = "rtsp:///live" },
		"srt":         func(c *Config) { c.SRTURL = "srt://live.example.org" },
		"passphrase":  func(c *Config) { c.SRTPassphrase = secret.New("short") },
		"latency":     func(c *Config) { c.SRTLatency = time.Minute },
		"whip":        func(c *Config) { c.WHIPURL = "live.example.org/whip" },
		"whip query":  func(c *Config) { c.WHIPURL = "https://live.example.org/whip?a=b" },
		"host":        func(c *Config) { c.WebRTCHosts = []string{"https://live.example.org"} },
		"udp ports":   func(c *Config) { c.UDPPorts = []string{"5010-5000"} },
		"allow":       func(c *Config) { c.Allow = []string{"192.168.1.0/99"} },
		"ladder":      func(c *Config) { c.Ladder = []string{"9000p"} },
		"window":      func(c *Config) { c.Window = time.Second },
		"window size": func(c *Config) { c.WindowBytes = 1 },
		"part":        func(c *Config) { c.Part = 100 * time.Millisecond },
	} {
		if err := set(change).Validate(); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Encoders are told the addresses that the operator says, and else those of the ports.
func TestAddresses(t *testing.T) {
	t.Parallel()
	s := &Service{listening: map[string]string{"webrtc": "127.0.0.1:8189"}}
	if url := s.ingest().WHIP.URL; url != whipPath {
		t.Errorf("WHIP is at %q", url)
	}
	s.Config.WHIPURL = "https://live.example.org/whip"
	if url := s.ingest().WHIP.URL; url != s.Config.WHIPURL {
		t.Errorf("WHIP is at %q", url)
	}
	s.listening = nil
	if url := s.ingest().WHIP.URL; url != "" {
		t.Errorf("WHIP is at %q, and is not listened for", url)
	}
}
