package peer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"net"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/cc"
	"github.com/pion/interceptor/pkg/gcc"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/logging"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// newCertificate makes what all connections show; clients know it by its hash in the
// answer to each of them.
func newCertificate() (webrtc.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return webrtc.Certificate{}, err
	}
	c, err := webrtc.GenerateCertificate(key)
	if err != nil {
		return webrtc.Certificate{}, fmt.Errorf("the certificate of WebRTC: %w", err)
	}
	return *c, nil
}

// profiles of H.264 that are taken, with what a browser offers of them: constrained
// baseline, baseline, main, high. The level is that of the other side.
func profiles() []string { return []string{"42e01f", "42001f", "4d001f", "64001f", "640032"} }

const (
	firstVideo = 102 // payload types of ours; those of the offer are used
	soundType  = 111
)

// media are the codecs, and for publishers what carries retransmissions and layers.
// Whoever receives says when each packet came, where that is asked for.
func media(publish, arrivals bool) (*webrtc.MediaEngine, error) {
	m := &webrtc.MediaEngine{}
	feedback := []webrtc.RTCPFeedback{{Type: "nack"}, {Type: "nack", Parameter: "pli"}, {Type: "ccm", Parameter: "fir"}}
	var ofAll []webrtc.RTCPFeedback
	var extensions []string
	if arrivals {
		ofAll = []webrtc.RTCPFeedback{{Type: "transport-cc"}}
		extensions = []string{sdp.TransportCCURI}
	}
	feedback = append(feedback, ofAll...)
	for i, profile := range profiles() {
		payload := webrtc.PayloadType(firstVideo + 2*i)
		err := m.RegisterCodec(webrtc.RTPCodecParameters{
			RTPCodecCapability: webrtc.RTPCodecCapability{
				MimeType: webrtc.MimeTypeH264, ClockRate: 90000, RTCPFeedback: feedback,
				SDPFmtpLine: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=" + profile,
			},
			PayloadType: payload,
		}, webrtc.RTPCodecTypeVideo)
		if err == nil && publish {
			err = m.RegisterCodec(webrtc.RTPCodecParameters{
				RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeRTX, ClockRate: 90000, SDPFmtpLine: fmt.Sprintf("apt=%d", payload)},
				PayloadType:        payload + 1,
			}, webrtc.RTPCodecTypeVideo)
		}
		if err != nil {
			return nil, err
		}
	}
	err := m.RegisterCodec(webrtc.RTPCodecParameters{
		RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2,
			SDPFmtpLine: "minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1", RTCPFeedback: ofAll,
		},
		PayloadType: soundType,
	}, webrtc.RTPCodecTypeAudio)
	if err != nil {
		return nil, err
	}
	if publish {
		extensions = append(extensions, sdp.SDESMidURI, sdp.SDESRTPStreamIDURI, sdp.SDESRepairRTPStreamIDURI)
	}
	for _, uri := range extensions {
		if err := m.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: uri}, webrtc.RTPCodecTypeVideo); err != nil {
			return nil, err
		}
	}
	if publish {
		err = m.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: sdp.SDESMidURI}, webrtc.RTPCodecTypeAudio)
	}
	return m, err
}

// settings have pion work on the engine's ports.
func (e *engine) settings(log logging.LoggerFactory) (webrtc.SettingEngine, error) {
	var s webrtc.SettingEngine
	s.LoggerFactory = log
	s.SetICEUDPMux(e.udpMux)
	s.SetICETCPMux(e.tcpMux)
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6, webrtc.NetworkTypeTCP4, webrtc.NetworkTypeTCP6})
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	s.DisableActiveTCP(true)
	s.SetICETimeouts(5*time.Second, 10*time.Second, 2*time.Second)
	s.SetPrflxAcceptanceMinWait(0) // addresses of clients are only known by their checks
	s.SetReceiveMTU(1500)
	if bound := e.udp.LocalAddr().(*net.UDPAddr).IP; !bound.IsUnspecified() {
		s.SetIncludeLoopbackCandidate(bound.IsLoopback())
		s.SetIPFilter(func(ip net.IP) bool { return ip.Equal(bound) })
	}
	// The client, which knows first that the way is open, begins the handshake.
	return s, s.SetAnsweringDTLSRole(webrtc.DTLSRoleServer)
}

// publishing returns what makes the connections of publishers.
func (e *engine) publishing(log logging.LoggerFactory) (*webrtc.PeerConnection, error) {
	m, err := media(true, true)
	if err != nil {
		return nil, err
	}
	missing, err := nack.NewGeneratorInterceptor(nack.GeneratorSize(depth), nack.GeneratorInterval(20*time.Millisecond),
		nack.GeneratorMaxNacksPerPacket(8), nack.WithGeneratorLoggerFactory(log))
	if err != nil {
		return nil, err
	}
	reports, err := report.NewReceiverInterceptor(report.WithReceiverLoggerFactory(log))
	if err != nil {
		return nil, err
	}
	arrivals, err := twcc.NewSenderInterceptor(twcc.WithLoggerFactory(log))
	if err != nil {
		return nil, err
	}
	r := &interceptor.Registry{}
	r.Add(missing)
	r.Add(reports)
	r.Add(arrivals)
	return e.connection(log, m, r)
}

// estimator says how many bits a second a viewer's connection carries.
type estimator interface{ GetTargetBitrate() int }

// Rates of the estimate, bits a second.
const (
	startRate = 1_500_000
	leastRate = 100_000
	mostRate  = 100_000_000
)

// watching returns the connection of a viewer, and, where there is or will be a choice of
// renditions, what estimates its bandwidth.
func (e *engine) watching(log logging.LoggerFactory, estimate bool) (*webrtc.PeerConnection, estimator, error) {
	// Reports of arrivals cost a viewer and the server a tenth of all, and only an
	// estimate is made of them.
	m, err := media(false, estimate)
	if err != nil {
		return nil, nil, err
	}
	r := &interceptor.Registry{}
	var found estimator
	if estimate {
		control, err := cc.NewInterceptor(func() (cc.BandwidthEstimator, error) {
			return gcc.NewSendSideBWE(gcc.SendSideBWEInitialBitrate(startRate), gcc.SendSideBWEMinBitrate(leastRate), gcc.SendSideBWEMaxBitrate(mostRate),
				gcc.SendSideBWEPacer(gcc.NewNoOpPacer()), gcc.WithLoggerFactory(log))
		})
		if err != nil {
			return nil, nil, err
		}
		control.OnNewPeerConnection(func(_ string, b cc.BandwidthEstimator) { found = b })
		r.Add(control)
	}
	pc, err := e.connection(log, m, r)
	return pc, found, err
}

func (e *engine) connection(log logging.LoggerFactory, m *webrtc.MediaEngine, r *interceptor.Registry) (*webrtc.PeerConnection, error) {
	s, err := e.settings(log)
	if err != nil {
		return nil, err
	}
	api := webrtc.NewAPI(webrtc.WithSettingEngine(s), webrtc.WithMediaEngine(m), webrtc.WithInterceptorRegistry(r))
	return api.NewPeerConnection(webrtc.Configuration{Certificates: []webrtc.Certificate{e.certificate}})
}
