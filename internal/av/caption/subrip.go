package caption

import "strings"

// parseSubRip reads SubRip as it is found: the number before a cue may be
// missing, and a payload may have blank lines, which are dropped.
func parseSubRip(lines []string) *Track {
	t := &Track{}
	for i := nextArrow(lines, 0); i < len(lines); {
		next := nextArrow(lines, i+1)
		end := next
		if end < len(lines) {
			end = beforeNumber(lines, i+1, end)
		}
		c := Cue{}
		var ok bool
		c.Start, c.End, _, ok = parseTiming(lines[i])
		c.Settings, c.Text = subRipText(lines[i+1 : end])
		t.add(c, ok)
		i = next
	}
	return t
}

// nextArrow is the index of the first line from i on that has an arrow, or
// len(lines).
func nextArrow(lines []string, i int) int {
	for i < len(lines) && !strings.Contains(lines[i], arrow) {
		i++
	}
	return i
}

// beforeNumber is end, or the index of the line before it where that is the
// number of the cue that follows.
func beforeNumber(lines []string, start, end int) int {
	if end > start && end > 0 {
		if _, ok := parseDigits(strings.TrimSpace(lines[end-1]), 9); ok {
			return end - 1
		}
	}
	return end
}

// subRipText turns the lines of a payload into cue settings and cue text.
func subRipText(lines []string) (settings, text string) {
	var kept []string
	for _, line := range lines {
		place, line := takeOverrides(line)
		if place != "" && settings == "" {
			settings = place
		}
		if line = strings.TrimSpace(convertTags(line)); line != "" {
			kept = append(kept, line)
		}
	}
	return settings, strings.Join(kept, "\n")
}

// takeOverrides removes the "{\an8}" kind of override, and gives the cue
// settings for the place that one names: as on a number pad, 7 8 9 are above,
// 1 4 7 are left. Braces without a backslash are text.
func takeOverrides(line string) (place, rest string) {
	var out strings.Builder
	for {
		open := strings.Index(line, `{\`)
		if open < 0 {
			break
		}
		length := strings.IndexByte(line[open:], '}')
		if length < 0 {
			break
		}
		override := line[open+1 : open+length]
		if _, key, ok := strings.Cut(override, `\an`); ok && place == "" {
			place = numberPad(key)
		}
		out.WriteString(line[:open])
		line = line[open+length+1:]
	}
	out.WriteString(line)
	return place, out.String()
}

func numberPad(override string) string {
	if override == "" || override[0] < '1' || override[0] > '9' {
		return ""
	}
	key := override[0] - '1'
	row := [...]string{"", "line:50%", "line:0"}[key/3]
	column := [...]string{"align:left", "", "align:right"}[key%3]
	return strings.TrimSpace(row + " " + column)
}

// convertTags keeps bold, italic and underline, drops the tags that WebVTT has
// no word for, and escapes all that is text.
func convertTags(line string) string {
	var out strings.Builder
	for line != "" {
		i := strings.IndexAny(line, "<>&")
		if i < 0 {
			break
		}
		out.WriteString(line[:i])
		line = line[i:]
		if tag, length := subRipTag(line); length > 0 {
			out.WriteString(tag)
			line = line[length:]
			continue
		}
		out.WriteString(escape(line))
		line = line[1:]
	}
	out.WriteString(line)
	return out.String()
}

// maxTagBytes is how far the end of a tag may be from its beginning.
const maxTagBytes = 256

// subRipTag is the WebVTT tag for the tag that s begins with, and how long that
// is in s: 0 where s does not begin with a tag.
func subRipTag(s string) (tag string, length int) {
	end := strings.IndexByte(s[:min(len(s), maxTagBytes)], '>')
	if s[0] != '<' || end < 0 {
		return "", 0
	}
	name, _, _ := strings.Cut(strings.ToLower(s[1:end]), " ")
	switch strings.TrimPrefix(name, "/") {
	case "b", "i", "u":
		return "<" + name + ">", end + 1
	case "font", "s", "strike", "span":
		return "", end + 1
	}
	return "", 0
}

// escape gives the first character of s, one of "<>&", as cue text. An
// ampersand that already begins an escape stays.
func escape(s string) string {
	switch s[0] {
	case '<':
		return "&lt;"
	case '>':
		return "&gt;"
	}
	for _, entity := range []string{"&amp;", "&lt;", "&gt;", "&nbsp;", "&lrm;", "&rlm;"} {
		if strings.HasPrefix(s, entity) {
			return "&"
		}
	}
	return "&amp;"
}
