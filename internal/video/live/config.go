package live

import (
	"net"
	"net/url"
	"slices"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/base/secret"
	"liuyun/internal/kit/conf"
)

// Config is the section "live" of the configuration.
type Config struct {
	RTMPListen    string        `conf:"rtmp_listen" help:"Where encoders push by RTMP, host:port; empty for port 1935 of the host in --listen."`
	RTMPURL       string        `conf:"rtmp_url" help:"The address that encoders are told, such as rtmp://live.example.org/live; empty for the listener's own."`
	RTMPSListen   string        `conf:"rtmps_listen" help:"Where encoders push by RTMP with TLS, host:port, as in 0.0.0.0:1936; empty for nowhere. The certificate is the server's, see --tls."`
	RTMPSURL      string        `conf:"rtmps_url" help:"The address that encoders are told for RTMP with TLS, such as rtmps://live.example.org:1936/live; empty for the listener's own."`
	RTSPListen    string        `conf:"rtsp_listen" help:"Where cameras push and players read by RTSP, host:port; empty for port 8554 of the host in --listen. Over UDP it is the port of the same number and the next."`
	RTSPURL       string        `conf:"rtsp_url" help:"The address that cameras are told, such as rtsp://live.example.org:8554/live; empty for the listener's own."`
	SRTListen     string        `conf:"srt_listen" help:"Where encoders push and players read by SRT, host:port (UDP); empty for port 8890 of the host in --listen."`
	SRTURL        string        `conf:"srt_url" help:"The address that encoders are told, such as srt://live.example.org:8890; empty for the listener's own."`
	SRTPassphrase secret.Text   `conf:"srt_passphrase" help:"What all SRT connections are encrypted with, 10 to 80 characters; empty for no encryption."`
	SRTLatency    time.Duration `conf:"srt_latency" help:"How long SRT waits at least for what was lost on the way. Each side may ask for more: three to four times the way there and back is right."`
	WebRTCListen  string        `conf:"webrtc_listen" help:"Where media of WebRTC comes and goes, host:port, one UDP and one TCP port; empty for port 8189 of the host in --listen."`
	WebRTCHosts   []string      `conf:"webrtc_hosts" help:"Names or addresses by which browsers elsewhere reach that port, besides this machine's own: the public address of a machine behind NAT."`
	WHIPURL       string        `conf:"whip_url" help:"The address that publishers by WHIP are told, such as https://live.example.org/whip; empty for that path of the server that is asked."`
	TURNListen    string        `conf:"turn_listen" help:"Where TURN is listened for, host:port, UDP and TCP, for browsers whose network lets nothing else through, as 0.0.0.0:3478; empty for nowhere."`
	UDPPorts      []string      `conf:"udp_ports" help:"Ports, and ranges such as 5000-5010, that transport streams of sources udp:// may come to; empty for none. Whoever reaches such a port can send."`
	Allow         []string      `conf:"allow" help:"Addresses, networks and host names inside private networks that sources of streams may be fetched from."`
	Window        time.Duration `conf:"window" help:"How far back viewers of a stream can go."`
	WindowBytes   conf.Bytes    `conf:"window_bytes" help:"How much of the disk that may take, a stream."`
	Ladder        []string      `conf:"ladder" help:"Renditions that are made of the pictures of new streams, unless it is said for one: auto, or some of 1080p, 720p, 480p and 360p; empty passes what encoders send on only. Each costs processor time while a stream is on air."`
	Adapt         string        `conf:"adapt" help:"What the pictures of a stream decide for its renditions, second by second: rungs does not make those that would show no more than the next smaller one, whose pictures they have meanwhile, all gives each more bits where they are worth it and fewer elsewhere besides, and off neither."`
	Slate         bool          `conf:"slate" help:"While nothing comes from a stream's encoders, viewers see its last key frame as a still picture, without sound, until the stream ends; players then go on without a stall."`
	Part          time.Duration `conf:"part" help:"How long the parts of segments are: shorter is closer to live and asks more of servers and networks."`
}

// What Config.Adapt may be.
const (
	adaptOff   = "off"
	adaptRungs = "rungs"
	adaptAll   = "all"
)

// DefaultConfig keeps two hours.
func DefaultConfig() Config {
	return Config{Window: 2 * time.Hour, WindowBytes: 16 << 30, Slate: true, Adapt: adaptOff, Part: 500 * time.Millisecond, SRTLatency: 120 * time.Millisecond}
}

// Validate checks the section.
func (c Config) Validate() error {
	for _, p := range []struct{ name, listen, port string }{
		{"rtmp", c.RTMPListen, "1935"}, {"rtmps", c.RTMPSListen, "1936"}, {"rtsp", c.RTSPListen, "8554"},
		{"srt", c.SRTListen, "8890"}, {"webrtc", c.WebRTCListen, "8189"}, {"turn", c.TURNListen, "3478"},
	} {
		if _, _, err := net.SplitHostPort(p.listen); p.listen != "" && err != nil {
			return fault.New(fault.Invalid, "%s_listen %q: write host:port, as in 0.0.0.0:%s", p.name, p.listen, p.port)
		}
	}
	for _, p := range []struct{ scheme, url string }{{"rtmp", c.RTMPURL}, {"rtmps", c.RTMPSURL}, {"rtsp", c.RTSPURL}} {
		u, err := url.Parse(p.url)
		if p.url != "" && (err != nil || u.Scheme != p.scheme || u.Host == "" || u.RawQuery != "" || u.Fragment != "") {
			return fault.New(fault.Invalid, "%[1]s_url %[2]q is not an address such as %[1]s://live.example.org/live", p.scheme, p.url)
		}
	}
	if err := checkLadder(c.Ladder); err != nil {
		return err
	}
	if !slices.Contains([]string{adaptOff, adaptRungs, adaptAll}, c.Adapt) {
		return fault.New(fault.Invalid, "adapt %q: choose %s, %s or %s", c.Adapt, adaptOff, adaptRungs, adaptAll)
	}
	if err := c.validateSRT(); err != nil {
		return err
	}
	if err := c.validateSources(); err != nil {
		return err
	}
	if err := c.validateWebRTC(); err != nil {
		return err
	}
	if c.Window < time.Minute || c.Window > 7*24*time.Hour {
		return fault.New(fault.Invalid, "window is %s; choose between 1m and 168h", c.Window)
	}
	if c.WindowBytes < 64<<20 {
		return fault.New(fault.Invalid, "window_bytes is %s; it has to be 64MiB at least", c.WindowBytes)
	}
	if c.Part < 200*time.Millisecond || c.Part > time.Second {
		return fault.New(fault.Invalid, "part is %s; choose between 200ms and 1s", c.Part)
	}
	return nil
}
