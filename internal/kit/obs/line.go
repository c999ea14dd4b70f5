package obs

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

// lineHandler writes a record as one line: time, level, message, then key=value.
type lineHandler struct {
	out    *output
	level  slog.Leveler
	colour bool
	prefix string // of keys, from groups: "a.b."
	attrs  string // written already, with a space in front of each
}

// output is shared by a handler and those made of it.
type output struct {
	mu sync.Mutex
	w  io.Writer
}

// Enabled reports whether records of the level are written.
func (h *lineHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.level.Level()
}

// WithAttrs returns a handler that adds attrs to each record.
func (h *lineHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := *h
	var b strings.Builder
	for _, a := range attrs {
		h.appendAttr(&b, h.prefix, a)
	}
	next.attrs += b.String()
	return &next
}

// WithGroup returns a handler that puts name and a dot in front of the keys.
func (h *lineHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	next := *h
	next.prefix += name + "."
	return &next
}

// Handle writes one record.
func (h *lineHandler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	if !r.Time.IsZero() {
		b.WriteString(h.paint(dim, r.Time.Format("2006-01-02 15:04:05.000")))
		b.WriteByte(' ')
	}
	b.WriteString(h.paint(levelColour(r.Level), fmt.Sprintf("%-5s", r.Level)))
	b.WriteByte(' ')
	b.WriteString(oneLine(r.Message))
	b.WriteString(h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		h.appendAttr(&b, h.prefix, a)
		return true
	})
	b.WriteByte('\n')
	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	_, err := io.WriteString(h.out.w, b.String())
	return err
}

func (h *lineHandler) appendAttr(b *strings.Builder, prefix string, a slog.Attr) {
	a.Value = a.Value.Resolve()
	if a.Equal(slog.Attr{}) {
		return
	}
	if a.Value.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, inner := range a.Value.Group() {
			h.appendAttr(b, prefix, inner)
		}
		return
	}
	b.WriteByte(' ')
	b.WriteString(h.paint(dim, quoted(prefix+a.Key)+"="))
	b.WriteString(quoted(valueText(a.Value)))
}

func valueText(v slog.Value) string {
	switch v.Kind() {
	case slog.KindTime:
		return v.Time().Format(time.RFC3339Nano)
	case slog.KindFloat64:
		return strconv.FormatFloat(v.Float64(), 'g', 6, 64)
	default:
		return v.String()
	}
}

// quoted puts a text that could be taken for something else in quotes.
func quoted(text string) string {
	if text == "" || strings.ContainsFunc(text, func(c rune) bool { return c == ' ' || c == '"' || c == '=' || unprintable(c) }) {
		return strconv.Quote(text)
	}
	return text
}

// oneLine keeps what came from outside from looking like a line of ours.
func oneLine(text string) string {
	if strings.ContainsFunc(text, unprintable) {
		quote := strconv.Quote(text)
		return quote[1 : len(quote)-1]
	}
	return text
}

func unprintable(c rune) bool { return c == utf8.RuneError || !unicode.IsPrint(c) }

// The colours, as the numbers of ANSI escape sequences.
const (
	dim    = "2"
	red    = "31"
	yellow = "33"
	green  = "32"
)

func levelColour(level slog.Level) string {
	switch {
	case level >= slog.LevelError:
		return red
	case level >= slog.LevelWarn:
		return yellow
	case level >= slog.LevelInfo:
		return green
	}
	return dim
}

func (h *lineHandler) paint(colour, text string) string {
	if !h.colour {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}
