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
// soon. A hit takes no lock and moves nothing. What leaves memory is cold on the disk, in
// queues of the same two kinds, and makes room there when its turn comes, as files do.
type evictor struct {
	limit int64
	seed  maphash.Seed
	// cold are objects that share the room; forget is told of those that leave. Both are
	// nil where there are none.
	cold   *cold
	forget func(id uint64)

	mu          sync.Mutex
	clock       uint64 // counts what has come into a queue
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
	since  uint64 // when it came into that, by the evictor's clock
	again  bool   // the last one that it was in is the main one
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
		if id, ok := e.coldest(); ok {
			e.forget(id)
			continue
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

// coldest takes the next to leave out where that is a cold object: of the two queues
// whose turn it is, one of cold and one of other objects, the one has it that came first.
func (e *evictor) coldest() (id uint64, ok bool) {
	if e.cold == nil {
		return 0, false
	}
	mine, cold := &e.main, &e.cold.again
	if e.smallTurn() {
		mine, cold = &e.small, &e.cold.once
	}
	since, ok := cold.since()
	if ok && (mine.Len() == 0 || since < mine.Front().Value.(*object).seat.since) {
		return cold.oldest()
	}
	if !e.cold.many() {
		return 0, false
	}
	if id, ok = e.cold.once.oldest(); !ok {
		id, ok = e.cold.again.oldest()
	}
	return id, ok
}

// smallTurn reports whether what leaves is of the small queues.
func (e *evictor) smallTurn() bool {
	small, main := e.smallUsed, e.used-e.smallUsed
	if e.cold != nil {
		_, once := e.cold.once.load()
		_, again := e.cold.again.load()
		small, main = small+once, main+again
	}
	return small > e.limit/smallShare || main == 0
}

// taken is how much of the room is.
func (e *evictor) taken() int64 {
	if e.cold == nil {
		return e.used
	}
	_, cold := e.cold.load()
	return e.used + cold
}

// chill takes in an object that has left another evictor and is on the disk alone from
// now on.
func (e *evictor) chill(o *object) (leave []*object) {
	e.mu.Lock()
	defer e.mu.Unlock()
	leave = e.makeRoom(o.seat.weight)
	queue := &e.cold.once
	if o.seat.again {
		queue = &e.cold.again
	}
	e.clock++
	queue.add(o.id, keyHash(o.key), o.seat.weight, e.clock)
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
	e.clock++
	o.seat.queue, o.seat.at, o.seat.since, o.seat.again = queue, queue.PushBack(o), e.clock, queue == &e.main
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
	if e.smallTurn() && e.small.Len() > 0 || e.main.Len() == 0 {
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
