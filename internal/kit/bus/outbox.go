package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"sync"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/event"
	"liuyun/internal/kit/store"
)

const (
	outboxSubject = "outbox" // a nudge: there is a new row
	outboxBatch   = 256
)

var eventType = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$`)

// Migrations makes the outbox.
func Migrations() store.Migrations {
	return store.Migrations{Set: "bus", Steps: []store.Step{{
		SQLite:   `CREATE TABLE outbox (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, type TEXT NOT NULL, body TEXT NOT NULL)`,
		Postgres: `CREATE TABLE outbox (seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id TEXT NOT NULL, type TEXT NOT NULL, body TEXT NOT NULL)`,
	}}}
}

// Emit writes the event into the transaction of its change: it will be told when
// that is committed, and never otherwise. It fills ID and Time where they are
// empty. An event larger than MaxMessage is fault.Limit.
func (b *Bus) Emit(tx *store.Tx, e event.Event) error {
	if !eventType.MatchString(e.Type) {
		return fault.New(fault.Internal, "%q is no type of an event", e.Type)
	}
	b.fill(&e)
	body, err := encode(e)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(`INSERT INTO outbox (id, type, body) VALUES (?, ?, ?)`, e.ID, e.Type, string(body)); err != nil {
		return fmt.Errorf("write event: %w", err)
	}
	tx.AfterCommit(func() {
		b.nudges.give()
		_ = b.Publish(outboxSubject, struct{}{}) // for a relay on another node; it looks by itself, too
	})
	return nil
}

// nudges wakes the relay of this node.
type nudges struct {
	once sync.Once
	c    chan struct{}
}

func (n *nudges) channel() chan struct{} {
	n.once.Do(func() { n.c = make(chan struct{}, 1) })
	return n.c
}

func (n *nudges) give() {
	select {
	case n.channel() <- struct{}{}:
	default: // one is already waiting
	}
}

// Relay returns the component that carries events from the outbox of db to the
// stream, in the order of their commit: a row goes only when the stream has
// acknowledged its event. While the stream takes none, rows wait.
func (b *Bus) Relay(db *store.DB) func(ctx context.Context, ready func()) error {
	return func(ctx context.Context, ready func()) error {
		stop, err := b.Subscribe(outboxSubject, func(string, []byte) { b.nudges.give() })
		if err != nil {
			return err
		}
		defer stop()
		ready()
		return b.Lead(ctx, "relay", func(ctx context.Context) error { return b.relay(ctx, db) })
	}
}

func (b *Bus) relay(ctx context.Context, db *store.DB) error {
	wait := retryMin
	for ctx.Err() == nil {
		n, err := b.relayBatch(ctx, db)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			b.options.Log.Warn("bus: events wait in the outbox", "error", err)
			sleep(ctx, wait)
			wait = min(2*wait, retryMax)
		default:
			wait = retryMin
			if n < outboxBatch {
				b.awaitNudge(ctx)
			}
		}
	}
	return nil
}

func (b *Bus) awaitNudge(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, b.timing.poll)
	defer cancel()
	select {
	case <-b.nudges.channel():
	case <-ctx.Done():
	}
}

// outboxRow is an event that waits.
type outboxRow struct {
	seq      int64
	id, kind string
	body     json.RawMessage
}

// relayBatch carries the oldest rows and returns how many there were.
func (b *Bus) relayBatch(ctx context.Context, db *store.DB) (int, error) {
	rows, err := outboxRows(ctx, db)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	sent := 0
	var failed error
	for _, row := range rows {
		if failed = b.publishEvent(ctx, row.id, row.kind, row.body); failed != nil {
			break
		}
		sent++
	}
	if sent > 0 {
		// Each by its number: a row with a lower one may be committed later.
		err = db.Write(ctx, func(tx *store.Tx) error {
			for _, row := range rows[:sent] {
				if _, err := tx.Exec(`DELETE FROM outbox WHERE seq = ?`, row.seq); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return 0, fmt.Errorf("remove relayed events: %w", err)
		}
	}
	return sent, failed
}

func outboxRows(ctx context.Context, db *store.DB) (waiting []outboxRow, err error) {
	err = db.Read(ctx, func(tx *store.Tx) error {
		waiting = nil
		rows, err := tx.Query(`SELECT seq, id, type, body FROM outbox ORDER BY seq LIMIT ?`, outboxBatch)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var row outboxRow
			var body string
			if err := rows.Scan(&row.seq, &row.id, &row.kind, &body); err != nil {
				return err
			}
			row.body = json.RawMessage(body)
			waiting = append(waiting, row)
		}
		return rows.Err()
	})
	return waiting, err
}
