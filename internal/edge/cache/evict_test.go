package cache

import (
	"container/list"
	"fmt"
	"math"
	"math/rand/v2"
	"sort"
	"strconv"
	"testing"
)

// demand is one request of a made-up day: what for, and how large that is.
type demand struct {
	name int
	size int64
}

// day has objects whose popularity is Zipf-like, a tenth of them too large for memory, and
// as many requests again for things that nobody asks for twice.
func day(requests int) []demand {
	random := rand.New(rand.NewPCG(1, 2))
	const objects, alpha = 5000, 0.9
	size := func() int64 {
		n := 4096 * math.Exp(random.NormFloat64())
		if random.IntN(10) == 0 {
			n = smallBody + 8*n
		}
		return int64(n)
	}
	sums, sizes, sum := make([]float64, objects), make([]int64, objects), 0.0
	for n := range sums {
		sum += math.Pow(float64(n+1), -alpha)
		sums[n], sizes[n] = sum, size()
	}
	all := make([]demand, 0, requests)
	for n := range requests / 2 {
		name := sort.SearchFloat64s(sums, random.Float64()*sum)
		all = append(all, demand{name, sizes[name]}, demand{objects + n, size()})
	}
	return all
}

// hitBytes is the share of the bytes of a day that ask reports to be there.
func hitBytes(all []demand, ask func(demand) bool) float64 {
	var hits, bytes int64
	for _, a := range all {
		bytes += a.size
		if ask(a) {
			hits += a.size
		}
	}
	return float64(hits) / float64(bytes)
}

// lru returns a cache that lets go what nobody has asked for for the longest time.
func lru(room int64) func(demand) bool {
	var order list.List // of demand, the least recently used in front
	at, used := make(map[int]*list.Element), int64(0)
	return func(a demand) bool {
		if known := at[a.name]; known != nil {
			order.MoveToBack(known)
			return true
		}
		at[a.name], used = order.PushBack(a), used+a.size
		for used > room {
			out := order.Remove(order.Front()).(demand)
			delete(at, out.name)
			used -= out.size
		}
		return false
	}
}

// rooms are the two evictors of a cache and its cold objects, without bodies.
type rooms struct {
	memory, disk *evictor
	objects      map[string]*object
	owner        owner // of what is asked for
}

func newRooms(memory, disk int64, share int) *rooms {
	r := &rooms{memory: newEvictor(memory, share), disk: newEvictor(disk, share), objects: make(map[string]*object)}
	r.disk.cold, r.disk.forget = newCold(), func(uint64) {}
	return r
}

// ask does with an object what Cache does.
func (r *rooms) ask(a demand) bool {
	key := strconv.Itoa(a.name)
	o := r.objects[key]
	if o != nil {
		o.hit()
		return true
	}
	o = &object{key: key, id: uint64(a.name) + 1, owner: r.owner}
	known := len(r.disk.cold.take(keyHash(key))) > 0
	if known {
		o.hits.Store(1)
		o.hit()
	}
	r.objects[key] = o
	room := r.memory
	if a.size > smallBody {
		room = r.disk
	}
	for leave := room.add(o, a.size); len(leave) > 0; leave = leave[1:] {
		out := leave[0]
		delete(r.objects, out.key)
		if out.seat.in == r.memory {
			leave = append(leave, r.disk.chill(out)...)
		}
	}
	return known
}

// However the room is divided, more of the bytes that are asked for is there than LRU has
// in one room of that size, and no more is stored than there is room for.
func TestEvictorsHaveMoreThanLRU(t *testing.T) {
	t.Parallel()
	const room = 16 << 20
	all := day(100_000)
	theirs := hitBytes(all, lru(room))
	for _, memory := range []int64{room / 65, room / 8, room / 2} { // the first is as it is by default
		for _, of := range []owner{nobody, 1} { // who has all of it is not worse off for a share
			t.Run(fmt.Sprintf("%d KiB of memory of %d", memory>>10, of), func(t *testing.T) {
				t.Parallel()
				r := newRooms(memory, room-memory, 50)
				r.owner = of
				ours := hitBytes(all, func(a demand) bool {
					hit := r.ask(a)
					if _, bytes := r.memory.load(); bytes > memory {
						t.Fatalf("%d bytes are in memory, %d may be", bytes, memory)
					}
					if _, bytes := r.disk.load(); bytes > room-memory {
						t.Fatalf("%d bytes are on the disk, %d may be", bytes, room-memory)
					}
					return hit
				})
				t.Logf("ours %.3f, LRU %.3f", ours, theirs)
				if ours < theirs+0.06 {
					t.Errorf("ours has %.3f of the bytes, LRU %.3f; want 0.06 more", ours, theirs)
				}
			})
		}
	}
}
