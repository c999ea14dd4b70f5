package dash

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
)

// longestManifest bounds a manifest that AppendSteered takes.
const longestManifest = 4 << 20

// baseLocation is the service location of where a manifest came from.
const baseLocation = "."

// Steering says where the players of a manifest are steered from (ETSI TS 103 998).
type Steering struct {
	Server string // URL of the steering manifest, absolute or as a path
	// Self is where viewers have the manifest: players replace the host in it, and want it
	// absolute for that.
	Self *url.URL
	// Others are where else it is, the best first. Players that follow no clones, or have not
	// asked the server yet, go on there when Self does not answer.
	Others []Place
}

// Place is where a manifest is too.
type Place struct {
	ID  string // by which the steering manifest names it
	URL *url.URL
}

// AppendSteered appends manifest to dst with what lets players go on elsewhere: a BaseURL
// that names where it is, as the service location ".", one for each other place, for a live
// one a Location each too, and ContentSteering. Further locations come as clones of "." in
// the steering manifest. Nothing else changes. A manifest that has a BaseURL, a Location or ContentSteering of its own, or
// is longer than 4 MiB, is an error, and dst is returned as it was.
func AppendSteered(dst, manifest []byte, s Steering) ([]byte, error) {
	if s.Self == nil || s.Self.Hostname() == "" || s.Server == "" {
		return dst, errors.New("steering needs a server and an absolute address of the manifest")
	}
	server, err := url.Parse(s.Server)
	if err != nil {
		return dst, fmt.Errorf("steering server: %w", err)
	}
	if len(manifest) > longestManifest {
		return dst, fmt.Errorf("the manifest is longer than %d bytes", longestManifest)
	}
	places, err := findPlaces(manifest)
	if err != nil {
		return dst, err
	}
	all := append([]Place{{baseLocation, s.Self}}, s.Others...)
	dst = append(dst, manifest[:places.base]...)
	for _, p := range all {
		dst = appendElement(dst, "BaseURL", ` serviceLocation="`+escape(p.ID)+`"`, p.URL.ResolveReference(&url.URL{Path: "./"}).String())
	}
	for _, p := range all {
		if places.live {
			dst = appendElement(dst, "Location", ` serviceLocation="`+escape(p.ID)+`"`, p.URL.String())
		}
	}
	dst = append(dst, manifest[places.base:places.end]...)
	dst = appendElement(dst, "ContentSteering", ` defaultServiceLocation="`+baseLocation+`" queryBeforeStart="false"`, server.String())
	return append(dst, manifest[places.end:]...), nil
}

// escape writes a text as an attribute has it.
func escape(text string) string {
	var out strings.Builder
	xml.EscapeText(&out, []byte(text)) // a builder takes all
	return out.String()
}

func appendElement(dst []byte, name, attributes, text string) []byte {
	dst = append(dst, "<"+name+attributes+">"...)
	out := bytes.NewBuffer(dst)
	xml.EscapeText(out, []byte(text)) // a buffer takes all
	return append(out.Bytes(), "</"+name+">\n"...)
}

// places are where elements go: BaseURL and Location before the first child of the MPD
// but ProgramInformation, ContentSteering before its end.
type places struct {
	base, end int
	live      bool
}

func findPlaces(manifest []byte) (places, error) {
	p := places{base: -1, end: -1}
	d := xml.NewDecoder(bytes.NewReader(manifest))
	for depth := 0; ; {
		at := int(d.InputOffset())
		token, err := d.RawToken()
		switch {
		case errors.Is(err, io.EOF):
			if depth != 0 || p.base < 0 || p.end < 0 {
				return p, errors.New("it is no whole manifest with periods")
			}
			return p, nil
		case err != nil:
			return p, fmt.Errorf("read manifest: %w", err)
		}
		switch element := token.(type) {
		case xml.StartElement:
			if p.end >= 0 || depth == 0 && (element.Name.Local != "MPD" || element.Name.Space != "") {
				return p, errors.New("it is no manifest")
			}
			if depth == 0 {
				p.live = slices.ContainsFunc(element.Attr, func(a xml.Attr) bool { return a.Name.Local == "type" && a.Value == "dynamic" })
			}
			if err := p.child(depth, at, element.Name.Local); err != nil {
				return p, err
			}
			depth++
		case xml.EndElement:
			if depth--; depth < 0 {
				return p, errors.New("it is no manifest")
			}
			if depth == 0 {
				p.end = at
			}
		}
	}
}

// child takes notice of an element that begins at an offset, if it is the MPD's child.
func (p *places) child(depth, at int, name string) error {
	if depth != 1 {
		return nil
	}
	switch name {
	case "BaseURL", "Location", "PatchLocation", "ContentSteering":
		return fmt.Errorf("the manifest has a %s of its own", name)
	case "ProgramInformation":
	default:
		if p.base < 0 {
			p.base = at
		}
	}
	return nil
}
