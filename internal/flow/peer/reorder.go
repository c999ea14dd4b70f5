package peer

import "time"

// depth is how many packets a reorder looks ahead. It is a power of two.
const depth = 512

// packet is one RTP packet.
type packet struct {
	sequence uint16
	stamp    uint32
	marker   bool
	payload  []byte
	at       time.Time // when it came
}

// reorder puts the packets of one RTP stream in their order. One that is missing is
// waited for, so that a retransmission can come, and given up when later ones have
// waited too long or are too many. It allocates only where packets come out of order.
type reorder struct {
	wait time.Duration // how long packets are held for one that is missing

	begun   bool
	next    uint16 // sequence number that comes next
	slots   []packet
	full    []bool
	held    int
	since   time.Time // when the oldest hole was seen
	strange int       // packets in a row that belong to no place near

	came, missing int64 // packets that were passed on, and that were given up
}

// push takes a packet and passes on those that are in order now; lost says that
// others before it never came. The payload is only used during the call.
func (r *reorder) push(p packet, pass func(p packet, lost bool)) {
	if !r.begun {
		r.begun, r.next = true, p.sequence
	}
	ahead := int(int16(p.sequence - r.next))
	switch {
	case ahead <= -depth || ahead >= 8*depth:
		// Far away: one stray packet, or a sender that began anew.
		if r.strange++; r.strange < 8 {
			return
		}
		r.flush(pass)
		r.next = p.sequence
		r.deliver(p, true, pass)
	case ahead < 0: // late, or twice
	case ahead == 0:
		r.deliver(p, false, pass)
	case ahead < depth:
		r.hold(p)
	default:
		r.flush(pass)
		r.missing += int64(p.sequence - r.next)
		r.next = p.sequence
		r.deliver(p, true, pass)
	}
	r.strange = 0
	for r.held > 0 && p.at.Sub(r.since) > r.wait {
		r.skip(pass)
		r.since = p.at
	}
}

// deliver passes on the packet that is next, and those that waited for it.
func (r *reorder) deliver(p packet, lost bool, pass func(packet, bool)) {
	r.next++
	r.came++
	pass(p, lost)
	for r.held > 0 {
		i := int(r.next) % depth
		if !r.full[i] {
			return
		}
		r.full[i] = false
		r.held--
		r.next++
		r.came++
		pass(r.slots[i], false)
	}
}

// hold keeps a packet until those before it have come.
func (r *reorder) hold(p packet) {
	if r.slots == nil {
		r.slots, r.full = make([]packet, depth), make([]bool, depth)
	}
	i := int(p.sequence) % depth
	if r.full[i] {
		return // it came twice
	}
	if r.held == 0 {
		r.since = p.at
	}
	payload := append(r.slots[i].payload[:0], p.payload...)
	r.slots[i] = p
	r.slots[i].payload = payload
	r.full[i] = true
	r.held++
}

// skip gives up what is missing before the first packet that is held.
func (r *reorder) skip(pass func(packet, bool)) {
	for !r.full[int(r.next)%depth] {
		r.next++
		r.missing++
	}
	i := int(r.next) % depth
	r.full[i] = false
	r.held--
	r.deliver(r.slots[i], true, pass)
}

func (r *reorder) flush(pass func(packet, bool)) {
	for r.held > 0 {
		r.skip(pass)
	}
}
