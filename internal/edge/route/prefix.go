package route

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"

	"github.com/gaissmai/bart"
)

// Bounds of a table of prefixes.
const (
	mostPrefixes  = 1 << 20
	longestLine   = 512
	longestRegion = 64
)

// Prefixes says of which region the viewers of an address are. It does not change.
type Prefixes struct {
	table   bart.Table[string]
	regions map[string]string // each once, as many prefixes share one
}

// ParsePrefixes reads an operator's table: a line for each prefix and its region, with
// white space between them, as in
//
//	203.0.113.0/24  eu
//	2001:db8::/32   asia
//
// The longest prefix counts, in whatever order they stand. An address alone is a prefix of
// all its bits; "#" begins a comment. A prefix with bits beyond its length, one that is
// there twice, and more than 1,048,576 of them are errors. An error names the line.
func ParsePrefixes(text []byte) (*Prefixes, error) {
	p := &Prefixes{regions: make(map[string]string)}
	number := 0
	for line := range bytes.Lines(text) {
		number++
		if err := p.line(line); err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
	}
	return p, nil
}

func (p *Prefixes) line(line []byte) error {
	if len(line) > longestLine {
		return fmt.Errorf("it is longer than %d bytes", longestLine)
	}
	text, _, _ := strings.Cut(string(line), "#")
	fields := strings.Fields(text)
	switch {
	case len(fields) == 0:
		return nil
	case len(fields) != 2:
		return fmt.Errorf("%q: write a prefix and a region, as in 203.0.113.0/24 eu", strings.TrimSpace(text))
	case p.table.Size() == mostPrefixes:
		return fmt.Errorf("there are more than %d prefixes", mostPrefixes)
	}
	prefix, err := parsePrefix(fields[0])
	if err != nil {
		return err
	}
	if !isRegion(fields[1]) {
		return fmt.Errorf("region %q: use letters, digits, '.', '-', '_' and '/', %d at most", fields[1], longestRegion)
	}
	if other, twice := p.table.Get(prefix); twice {
		return fmt.Errorf("%s is there twice, first with region %s", prefix, other)
	}
	region, known := p.regions[fields[1]]
	if !known {
		region = strings.Clone(fields[1])
		p.regions[region] = region
	}
	p.table.Insert(prefix, region)
	return nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%q is no address", s)
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return netip.Prefix{}, fmt.Errorf("%q is no prefix", s)
	case prefix.Addr().Is4In6():
		return netip.Prefix{}, fmt.Errorf("%s: write IPv4 prefixes as IPv4", s)
	case prefix != prefix.Masked():
		return netip.Prefix{}, fmt.Errorf("%s has bits beyond its length; is %s meant?", s, prefix.Masked())
	}
	return prefix, nil
}

func isRegion(s string) bool {
	return len(s) <= longestRegion &&
		strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_/") == ""
}

// Region returns the region of an address, or "" where none is known. Nil knows none.
func (p *Prefixes) Region(a netip.Addr) string {
	if p == nil || !a.IsValid() {
		return ""
	}
	region, _ := p.table.Lookup(a.Unmap().WithZone(""))
	return region
}
