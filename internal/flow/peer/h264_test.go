package peer

import (
	"bytes"
	"encoding/binary"
	"math/rand"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// access makes an access unit as streams carry it.
func access(units ...[]byte) (data []byte) {
	for _, u := range units {
		data = append(binary.BigEndian.AppendUint32(data, uint32(len(u))), u...)
	}
	return data
}

// payloads splits what appendPayloads has made.
func payloads(t interface{ Fatalf(string, ...any) }, data []byte) (list [][]byte) {
	for len(data) > 0 {
		n := int(binary.BigEndian.Uint16(data))
		if n == 0 || n > mostPayload {
			t.Fatalf("a payload of %d bytes", n)
		}
		list = append(list, data[2:2+n])
		data = data[2+n:]
	}
	return list
}

func nal(kind byte, length int, r *rand.Rand) []byte {
	u := make([]byte, length)
	r.Read(u)
	u[0] = 0x60 | kind
	return u
}

// What is cut into payloads is put together again as it was, through every length.
func TestPicturesRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewSource(int64(rapid.IntRange(0, 1<<30).Draw(t, "seed"))))
		var a assembler
		for stamp := range uint32(4) {
			var units [][]byte
			for range rapid.IntRange(1, 4).Draw(t, "units") {
				units = append(units, nal([]byte{1, 5}[r.Intn(2)], rapid.IntRange(1, 4*mostPayload).Draw(t, "length"), r))
			}
			sets := [][]byte{nal(sequenceSet, 20, r), nal(pictureSet, 4, r)}
			data, err := appendPayloads(nil, sets, access(units...))
			if err != nil {
				t.Fatal(err)
			}
			list := payloads(t, data)
			var got [][]byte
			for i, p := range list {
				a.put(packet{stamp: stamp * 3000, marker: i == len(list)-1, payload: p}, false, func(c picture) {
					if c.broken || c.stamp != stamp*3000 || !bytes.Equal(c.set, sets[0]) {
						t.Fatalf("got %+v", c)
					}
					for _, u := range c.units {
						got = append(got, bytes.Clone(u))
					}
				})
			}
			if diff := cmp.Diff(append(sets, units...), got); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}

// A picture of which something is lost is said to be broken, and the next is not.
func TestPicturesWithLoss(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewSource(1))
	var list []packet
	for stamp := range uint32(3) {
		data, err := appendPayloads(nil, nil, access(nal(idr, 3000, r)))
		if err != nil {
			t.Fatal(err)
		}
		parts := payloads(t, data)
		for i, p := range parts {
			list = append(list, packet{stamp: stamp, marker: i == len(parts)-1, payload: p})
		}
	}
	for missing := range 3 {
		var a assembler
		var broken []bool
		for i, p := range list {
			if i == 3+missing {
				continue
			}
			a.put(p, i == 4+missing, func(c picture) { broken = append(broken, c.broken) })
		}
		want := []bool{false, true, false}
		if missing == 2 { // the marker: the loss is seen with the next picture
			want = []bool{false, true, true}
		}
		if diff := cmp.Diff(want, broken); diff != "" {
			t.Errorf("without packet %d: %s", missing, diff)
		}
	}
}

func TestAggregates(t *testing.T) {
	t.Parallel()
	var a assembler
	var got [][]byte
	payload := []byte{0x78, 0, 2, 0x67, 1, 0, 1, 0x68, 0, 3, 0x65, 2, 3}
	a.put(packet{marker: true, payload: payload}, false, func(c picture) {
		if c.broken || !c.key {
			t.Errorf("got %+v", c)
		}
		for _, u := range c.units {
			got = append(got, bytes.Clone(u))
		}
	})
	if diff := cmp.Diff([][]byte{{0x67, 1}, {0x68}, {0x65, 2, 3}}, got); diff != "" {
		t.Error(diff)
	}
	a.put(packet{marker: true, payload: []byte{0x78, 0, 9, 0x67}}, false, func(c picture) {
		if !c.broken {
			t.Error("an aggregate that says more than it has is taken")
		}
	})
}

// FuzzAssembler: whatever comes, a picture stays within its bounds and units are not
// empty.
func FuzzAssembler(f *testing.F) {
	f.Add([]byte{3, 0x78, 0, 1, 2, 0x7c, 0x85, 3, 0x7c, 0x45, 9})
	f.Add([]byte{1, 0x65, 0, 2, 0x41, 7})
	f.Fuzz(func(t *testing.T, data []byte) {
		var a assembler
		for len(data) > 0 {
			n := min(int(data[0]&0x3f), len(data)-1)
			p := packet{stamp: uint32(data[0] >> 7), marker: data[0]&0x40 != 0, payload: data[1 : 1+n]}
			a.put(p, data[0]%5 == 0, func(c picture) {
				for _, u := range c.units {
					if len(u) == 0 {
						t.Fatal("an empty unit")
					}
				}
			})
			data = data[1+n:]
		}
		if len(a.data) > largestPicture || len(a.ends) > mostUnits {
			t.Fatal("it grows without bound")
		}
	})
}

func TestAssemblerIsBounded(t *testing.T) {
	t.Parallel()
	var a assembler
	first, more := append([]byte{0x7c, 0x85}, make([]byte, 1200)...), append([]byte{0x7c, 0x05}, make([]byte, 1200)...)
	a.put(packet{payload: first}, false, nil)
	for range largestPicture/1000 + 1 {
		a.put(packet{payload: more}, false, nil)
	}
	if len(a.data) > largestPicture || !a.bad {
		t.Errorf("%d bytes of one picture are kept", len(a.data))
	}
}
