// Package onlooker watches a stream by WHEP as a browser does, without decoding it: it
// offers what a browser offers, asks again for what is lost, reports what comes, and
// throws the media away. Benchmarks have many of it, of any server on this machine;
// no program of ours does.
package onlooker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/logging"
	"github.com/pion/webrtc/v4"
)

// Watch watches the stream at a WHEP endpoint until ctx ends, which is no error, or
// something goes wrong. got is told how many bytes of media each packet has, by
// several goroutines. Media come over UDP of the loopback interface alone.
func Watch(ctx context.Context, url string, got func(bytes int64)) error {
	err := watch(ctx, url, got)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func watch(ctx context.Context, url string, got func(bytes int64)) error {
	pc, err := connection()
	if err != nil {
		return err
	}
	defer pc.GracefulClose()
	lost := make(chan error, 1)
	pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		switch state {
		case webrtc.PeerConnectionStateFailed, webrtc.PeerConnectionStateDisconnected, webrtc.PeerConnectionStateClosed:
			select {
			case lost <- fmt.Errorf("the connection is %s", state):
			default:
			}
		}
	})
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		for buffer := make([]byte, 1500); ; {
			n, _, err := track.Read(buffer)
			if err != nil {
				return
			}
			got(int64(media(buffer[:n])))
		}
	})
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio} {
		if _, err := pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			return err
		}
	}
	if err := join(ctx, pc, url); err != nil {
		return err
	}
	select {
	case err := <-lost:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// connection is one with what browsers have: reports, retransmission, and the arrival
// times of packets where the server numbers them for that.
func connection() (*webrtc.PeerConnection, error) {
	m, r := &webrtc.MediaEngine{}, &interceptor.Registry{}
	err := errors.Join(m.RegisterDefaultCodecs(), webrtc.ConfigureNack(m, r), webrtc.ConfigureRTCPReports(r), webrtc.ConfigureTWCCSender(m, r))
	if err != nil {
		return nil, err
	}
	var s webrtc.SettingEngine
	silent := logging.NewDefaultLoggerFactory()
	silent.DefaultLogLevel = logging.LogLevelDisabled
	s.LoggerFactory = silent
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	s.SetIncludeLoopbackCandidate(true)
	s.SetIPFilter(net.IP.IsLoopback)
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	return webrtc.NewAPI(webrtc.WithMediaEngine(m), webrtc.WithInterceptorRegistry(r), webrtc.WithSettingEngine(s)).NewPeerConnection(webrtc.Configuration{})
}

// join sends the offer, with all addresses in it, and takes the answer.
func join(ctx context.Context, pc *webrtc.PeerConnection, url string) error {
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		return err
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(offer); err != nil {
		return err
	}
	select {
	case <-gathered:
	case <-ctx.Done():
		return ctx.Err()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(pc.LocalDescription().SDP))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/sdp")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err == nil && response.StatusCode != http.StatusCreated {
		err = fmt.Errorf("%s answers %s: %s", url, response.Status, text)
	}
	if err != nil {
		return err
	}
	return pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: string(text)})
}

// media is how much of an RTP packet is not its header.
func media(packet []byte) int {
	if len(packet) < 12 {
		return 0
	}
	head := 12 + 4*int(packet[0]&0x0f)
	if packet[0]&0x10 != 0 && len(packet) >= head+4 {
		head += 4 + 4*(int(packet[head+2])<<8|int(packet[head+3]))
	}
	return max(0, len(packet)-head)
}
