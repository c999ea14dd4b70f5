package cache

import (
	"container/list"
	"hash/maphash"
	"strconv"
	"sync"
)

// evictor chooses what leaves when there is no room: S3-FIFO (Yang et al., FIFO queues
// are all you need for cache eviction, SOSP 2023). New objects go through a small queue
// of a tenth of the room; those that were asked for again meanwhile go on to the main
// one, the others leave, and come straight to the main one if they are asked for again
// soon. A hit takes no lock and moves nothing.
type evictor struct {
	limit int64
	seed  maphash.Seed
	// cold are objects that share the room, and leave first; forget is told of those. Both
	// are nil where there are none.
	cold   *cold
	forget func(id uint64)

	mu          sync.Mutex
	used        int64
	smallUsed   int64
	small, main list.List // of *object, the oldest in front
	ghosts      map[uint64]*list.Element
	ghostOrder  list.List // of uint64
}

const (
	smallShare = 10   // of the limit, the small queue has a tenth
	mostHits   = 3    // that are counted
	perObject  = 1024 // bytes that an object takes beside its body, about
)

func newEvictor(limit int64) *evictor {
	return &evictor{limit: limit, seed: maphash.MakeSeed(), ghosts: make(map[uint64]*list.Element)}
}

// seat is where an object stands in an evictor, which guards it.
type seat struct {
	in     *evictor
	queue  *list.List // nil where it is in none
	at     *list.Element
	weight int64
}

// add takes an object in, and returns those that have to leave for it.
func (e *evictor) add(o *object, size int64) (leave []*object) {
	e.mu.Lock()
	defer e.mu.Unlock()
	o.seat = seat{in: e, weight: size}
	hash := e.hash(o)
	queue := &e.small
	if ghost, ok := e.ghosts[hash]; ok {
		e.ghostOrder.Remove(ghost)
		delete(e.ghosts, hash)
		queue = &e.main
	}
	leave = e.makeRoom(o.seat.weight)
	e.push(o, queue)
	return leave
}

// makeRoom returns the objects that have to leave so that there is room for so many
// bytes.
func (e *evictor) makeRoom(bytes int64) (leave []*object) {
	for e.taken()+bytes > e.limit || e.cold != nil && e.cold.many() {
		if e.cold != nil {
			if id, ok := e.cold.oldest(); ok {
				e.forget(id)
				continue
			}
		}
		if e.small.Len()+e.main.Len() == 0 {
			break
		}
		if out := e.choose(); out != nil {
			leave = append(leave, out)
		}
	}
	return leave
}

// taken is how much of the room is.
func (e *evictor) taken() int64 {
	if e.cold == nil {
		return e.used
	}
	_, cold := e.cold.load()
	return e.used + cold
}

// chill takes in an object that is on the disk alone from now on.
func (e *evictor) chill(id, hash uint64, weight int64) (leave []*object) {
	e.mu.Lock()
	defer e.mu.Unlock()
	leave = e.makeRoom(weight)
	e.cold.add(id, hash, weight)
	return leave
}

// remove takes an object out that leaves for another reason.
func (e *evictor) remove(o *object) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if o.seat.queue != nil {
		e.pull(o)
	}
}

func (e *evictor) push(o *object, queue *list.List) {
	o.seat.queue, o.seat.at = queue, queue.PushBack(o)
	e.used += o.seat.weight
	if queue == &e.small {
		e.smallUsed += o.seat.weight
	}
}

func (e *evictor) pull(o *object) {
	if o.seat.queue == &e.small {
		e.smallUsed -= o.seat.weight
	}
	e.used -= o.seat.weight
	o.seat.queue.Remove(o.seat.at)
	o.seat.queue, o.seat.at = nil, nil
}

// choose looks at the oldest object of a queue, and returns it if it has to leave.
func (e *evictor) choose() *object {
	queue := &e.main
	if e.smallUsed > e.limit/smallShare || e.main.Len() == 0 {
		queue = &e.small
	}
	o := queue.Front().Value.(*object)
	hits := o.hits.Load()
	e.pull(o)
	switch {
	case queue == &e.small && hits > 1:
		o.hits.Store(0)
		e.push(o, &e.main)
		return nil
	case queue == &e.main && hits > 0:
		o.hits.Add(-1)
		e.push(o, &e.main)
		return nil
	case queue == &e.small:
		e.remember(o)
	}
	return o
}

// remember keeps the name of an object that left early, of as many as there are
// objects in the main queue.
func (e *evictor) remember(o *object) {
	hash := e.hash(o)
	if _, ok := e.ghosts[hash]; !ok {
		e.ghosts[hash] = e.ghostOrder.PushBack(hash)
	}
	for e.ghostOrder.Len() > max(64, e.main.Len()) {
		oldest := e.ghostOrder.Front()
		delete(e.ghosts, e.ghostOrder.Remove(oldest).(uint64))
	}
}

// hash is what an object is remembered by.
func (e *evictor) hash(o *object) uint64 {
	return maphash.String(e.seed, o.key+"\x00"+o.variant+"\x00"+strconv.FormatInt(o.slice, 10))
}

// hit counts that an object was asked for.
func (o *object) hit() {
	if n := o.hits.Load(); n < mostHits {
		o.hits.CompareAndSwap(n, n+1)
	}
}

// load is how much an evictor holds, the cold objects among it.
func (e *evictor) load() (objects int, bytes int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.cold != nil {
		objects, _ = e.cold.load()
	}
	return objects + e.small.Len() + e.main.Len(), e.taken()
}
