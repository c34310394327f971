package secret

import (
	"encoding/json"
	"html"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Shortest is the length, in bytes, from which a secret is found by its text. A
// shorter one is in too many texts by chance: "true", "local", "8080".
const Shortest = 6

// Texts are the texts of secrets, to keep them out of what is shown: whatever
// quotes one, and however it came there. The zero value has none.
type Texts struct{ forms []string }

// Add takes a secret, each of its lines, and how both look when they are quoted
// or escaped.
func (t *Texts) Add(text string) {
	for _, part := range append(strings.Split(text, "\n"), text) {
		part = strings.TrimSpace(part)
		encoded, _ := json.Marshal(part) // of a text: never fails
		for _, form := range []string{
			part, unquoted(strconv.Quote(part)), unquoted(strconv.QuoteToASCII(part)), unquoted(string(encoded)), html.EscapeString(part),
			url.QueryEscape(part), url.PathEscape(part), strings.ReplaceAll(part, "'", `'\''`),
		} {
			if len(form) >= Shortest && !strings.Contains(Mask, form) && !slices.Contains(t.forms, form) {
				t.forms = append(t.forms, form)
			}
		}
	}
}

func unquoted(text string) string { return text[1 : len(text)-1] }

// Find gives where secrets stand in a text, as pairs of offsets in order, none
// of which touch. The start of one that was cut, which an ellipsis says, counts.
func (t *Texts) Find(text string) [][2]int {
	var found [][2]int
	for _, form := range t.forms {
		for at := 0; ; at++ {
			next := strings.Index(text[at:], form)
			if next < 0 {
				break
			}
			at += next
			found = append(found, [2]int{at, at + len(form)})
		}
		for _, ellipsis := range []string{"…", "..."} {
			found = append(found, cutAt(text, form, ellipsis)...)
		}
	}
	return joined(found)
}

// cutAt finds the starts of form that an ellipsis follows.
func cutAt(text, form, ellipsis string) [][2]int {
	var found [][2]int
	for at := 0; ; at += len(ellipsis) {
		next := strings.Index(text[at:], ellipsis)
		if next < 0 {
			return found
		}
		at += next
		for n := min(len(form), at); n >= Shortest; n-- {
			if text[at-n:at] == form[:n] {
				found = append(found, [2]int{at - n, at})
				break
			}
		}
	}
}

// joined orders spans, and makes one of those that touch.
func joined(spans [][2]int) [][2]int {
	slices.SortFunc(spans, func(a, b [2]int) int { return a[0] - b[0] })
	var list [][2]int
	for _, s := range spans {
		if last := len(list) - 1; last >= 0 && s[0] <= list[last][1] {
			list[last][1] = max(list[last][1], s[1])
			continue
		}
		list = append(list, s)
	}
	return list
}

// Mask gives a text with Mask in place of every secret.
func (t *Texts) Mask(text string) string {
	found := t.Find(text)
	if len(found) == 0 {
		return text
	}
	var b strings.Builder
	at := 0
	for _, span := range found {
		b.WriteString(text[at:span[0]] + Mask)
		at = span[1]
	}
	return b.String() + text[at:]
}
