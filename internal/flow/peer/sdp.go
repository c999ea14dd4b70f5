package peer

import (
	"fmt"
	"net"
	"strings"

	"github.com/pion/sdp/v3"

	"liuyun/internal/base/fault"
)

// largestOffer bounds what is read of a client: a browser's offer with three layers
// has 8 KB.
const largestOffer = 64 << 10

// offer is what a client wants.
type offer struct {
	text         string // without its candidates
	video, sound bool
	layers       int // of the pictures that it can send; 1 without simulcast
}

// readOffer checks an offer: one section of pictures and one of sound at most, all in
// the given direction, nothing else.
func readOffer(text, direction string) (*offer, error) {
	o := &offer{text: withoutCandidates(text), layers: 1}
	var s sdp.SessionDescription
	if err := s.UnmarshalString(o.text); err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "the offer is not SDP: %v", err)
	}
	for _, m := range s.MediaDescriptions {
		seen := &o.video
		switch m.MediaName.Media {
		case "video":
		case "audio":
			seen = &o.sound
		default:
			return nil, fault.New(fault.Invalid, "the offer has a section %q; offer audio and video alone", m.MediaName.Media)
		}
		if *seen {
			return nil, fault.New(fault.Invalid, "the offer has more than one section of %s; offer one", m.MediaName.Media)
		}
		*seen = true
		if _, ok := m.Attribute("mid"); !ok {
			return nil, fault.New(fault.Invalid, "a section of the offer has no a=mid")
		}
		for _, other := range []string{"sendonly", "recvonly", "inactive"} {
			if _, ok := m.Attribute(other); ok && other != direction {
				return nil, fault.New(fault.Invalid, "the offer is %s; it has to be %s here", other, direction)
			}
		}
		if list, ok := m.Attribute("simulcast"); ok && m.MediaName.Media == "video" {
			o.layers = layersOf(list)
		}
	}
	if !o.video && !o.sound {
		return nil, fault.New(fault.Invalid, "the offer has neither audio nor video")
	}
	return o, nil
}

// layersOf counts the streams of a=simulcast (RFC 8853): "send 1,~4;2 recv 3".
func layersOf(value string) int {
	fields := strings.Fields(value)
	for i := 0; i+1 < len(fields); i += 2 {
		if fields[i] == "send" {
			return min(1+strings.Count(fields[i+1], ";"), mostLayers)
		}
	}
	return 1
}

// lines splits SDP, whichever way its lines end: as pion does, for which one of the
// two characters is enough. Empty ones are left out.
func lines(text string) []string {
	return strings.FieldsFunc(text, func(c rune) bool { return c == '\r' || c == '\n' })
}

func join(lines []string) string { return strings.Join(lines, "\r\n") + "\r\n" }

// withoutCandidates removes where the client says that it is reached.
func withoutCandidates(text string) string {
	var kept []string
	for _, line := range lines(text) {
		if !strings.HasPrefix(line, "a=candidate:") && line != "a=end-of-candidates" {
			kept = append(kept, line)
		}
	}
	return join(kept)
}

// addCandidates adds addresses by which this machine is reached from elsewhere, all of
// them on one port, before those that it knows itself.
func addCandidates(text string, hosts []net.IP, port int) string {
	if len(hosts) == 0 {
		return text
	}
	var more []string
	for i, ip := range hosts {
		// Priorities of RFC 8445, 5.1.2.1, of host candidates; TCP is for those whom UDP does not reach.
		more = append(more,
			fmt.Sprintf("a=candidate:%d 1 udp %d %s %d typ host", 900+i, 126<<24|(65535-i)<<8|255, ip, port),
			fmt.Sprintf("a=candidate:%d 1 tcp %d %s %d typ host tcptype passive", 950+i, 90<<24|(65535-i)<<8|255, ip, port))
	}
	var out []string
	added := false
	for _, line := range lines(text) {
		if !added && (strings.HasPrefix(line, "a=candidate:") || line == "a=end-of-candidates") {
			out = append(out, more...)
			added = true
		}
		out = append(out, line)
	}
	return join(out)
}

// attribute is the value of the first a=name:value.
func attribute(text, name string) string {
	for _, line := range lines(text) {
		if value, ok := strings.CutPrefix(line, "a="+name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func ufragOf(text string) string { return attribute(text, "ice-ufrag") }

// replaceCredentials puts other ICE credentials into SDP.
func replaceCredentials(text, ufrag, pwd string) string {
	list := lines(text)
	for i, line := range list {
		switch {
		case strings.HasPrefix(line, "a=ice-ufrag:"):
			list[i] = "a=ice-ufrag:" + ufrag
		case strings.HasPrefix(line, "a=ice-pwd:"):
			list[i] = "a=ice-pwd:" + pwd
		}
	}
	return join(list)
}

// iceText reports whether s is of the characters of ICE credentials (RFC 8839, 5.4),
// and not shorter or longer than they are.
func iceText(s string, shortest int) bool {
	if len(s) < shortest || len(s) > 256 {
		return false
	}
	return strings.IndexFunc(s, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '+' || c == '/')
	}) < 0
}

// readFragment reads the credentials of a trickle-ice-sdpfrag (RFC 8840), whose
// candidates are not looked at.
func readFragment(text string) (ufrag, pwd string, err error) {
	ufrag, pwd = ufragOf(text), attribute(text, "ice-pwd")
	if !iceText(ufrag, 4) || !iceText(pwd, 22) {
		return "", "", fault.New(fault.Invalid, "the fragment has no a=ice-ufrag and a=ice-pwd")
	}
	return ufrag, pwd, nil
}

// fragmentOf is what of an answer a client needs after a restart of ICE.
func fragmentOf(answer string) string {
	out := []string{"a=ice-ufrag:" + ufragOf(answer), "a=ice-pwd:" + attribute(answer, "ice-pwd")}
	section := false
	for _, line := range lines(answer) {
		switch {
		case strings.HasPrefix(line, "m="):
			if section {
				return join(out) // all is bundled in the first
			}
			section = true
			out = append(out, line)
		case section && (strings.HasPrefix(line, "a=mid:") || strings.HasPrefix(line, "a=candidate:") || line == "a=end-of-candidates"):
			out = append(out, line)
		}
	}
	return join(out)
}
