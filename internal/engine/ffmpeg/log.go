package ffmpeg

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// messageLog sums up what a run said, in bounded memory.
type messageLog struct {
	errors, warnings, corrupt int
	first                     string // the first error as it was said; what comes after follows from it
	messages                  []message
}

// message is one kind of line: numbers in it are replaced by #.
type message struct {
	text  string
	count int
}

// maxMessages bounds the distinct messages, maxMessage the bytes of one.
const (
	maxMessages = 20
	maxMessage  = 200
)

// add counts one line of stderr as "-loglevel level" prints it:
// "[h264 @ 0x55d2] [error] text". Lines without a level are the encoders' own
// chatter and continuations: not counted. It never fails.
func (l *messageLog) add(line []byte) error {
	level, text := splitLevel(line)
	if level == "" || bytes.Contains(text, []byte("has not been used for any stream")) {
		return nil // the latter speaks of our own guards, where there is no picture
	}
	if level == "warning" {
		l.warnings++
	} else {
		l.errors++
		l.first = cmp.Or(l.first, plainText(text))
	}
	if bytes.Contains(text, []byte("corrupt decoded frame")) {
		l.corrupt++
	}
	l.count(normalise(text))
	return nil
}

func (l *messageLog) count(text string) {
	i := slices.IndexFunc(l.messages, func(m message) bool { return m.text == text })
	if i >= 0 {
		l.messages[i].count++
	} else if len(l.messages) < maxMessages {
		l.messages = append(l.messages, message{text, 1})
	}
}

// texts are the messages in order of first sight, with their counts.
func (l *messageLog) texts() []string {
	var out []string
	for _, m := range l.messages {
		if m.count > 1 {
			m.text = fmt.Sprintf("%s (%d times)", m.text, m.count)
		}
		out = append(out, m.text)
	}
	return out
}

// splitLevel strips the bracketed prefixes up to the level.
func splitLevel(line []byte) (level string, text []byte) {
	for len(line) > 0 && line[0] == '[' {
		inside, rest, found := bytes.Cut(line[1:], []byte("] "))
		if !found {
			return "", nil
		}
		line = rest
		switch word := string(inside); word {
		case "panic", "fatal", "error", "warning":
			return word, line
		}
	}
	return "", nil
}

// plainText is a line in printable ASCII, at most maxMessage bytes of it.
func plainText(text []byte) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, string(text[:min(len(text), maxMessage)]))
}

// normalise makes lines that differ only in numbers, addresses or our name for
// the input the same, and keeps printable ASCII only.
func normalise(text []byte) string {
	s := strings.ReplaceAll(string(text), InputURL, "input")
	var b strings.Builder
	for i := 0; i < len(s) && b.Len() < maxMessage; {
		c := s[i]
		if isDigit(c) && (i == 0 || !isWord(s[i-1])) {
			for i < len(s) && isWord(s[i]) {
				i++
			}
			b.WriteByte('#')
			continue
		}
		if c < ' ' || c > '~' {
			c = '?'
		}
		b.WriteByte(c)
		i++
	}
	return strings.TrimSpace(b.String())
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isWord(c byte) bool {
	return isDigit(c) || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_'
}
