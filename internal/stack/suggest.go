package stack

import (
	"slices"
	"strconv"
	"strings"

	"github.com/agext/levenshtein"
)

// Nearest finds the name among names that given was most likely meant to be.
// A third of its letters may differ, at most three. Letters that only changed
// places count once.
func Nearest(given string, names []string) (string, bool) {
	best, least := "", min(3, max(1, len(given)/3))+1
	for _, name := range names {
		d := levenshtein.Distance(strings.ToLower(given), name, nil)
		if d == 2 && letters(given) == letters(name) {
			d = 1
		}
		if d < least {
			best, least = name, d
		}
	}
	return best, best != ""
}

// letters gives the letters of a name in order.
func letters(s string) string {
	sorted := []byte(strings.ToLower(s))
	slices.Sort(sorted)
	return string(sorted)
}

// didYouMean suggests the nearest name, else lists those in valid.
func didYouMean(given string, known, valid []string) string {
	if name, ok := Nearest(given, known); ok {
		return "Did you mean " + strconv.Quote(name) + "?"
	}
	if len(valid) == 0 {
		return "This block takes none."
	}
	return "Valid here: " + strings.Join(slices.Sorted(slices.Values(valid)), ", ") + "."
}

// Suggest says which of names was most likely meant, else lists them.
func Suggest(given string, names []string) string {
	if len(names) == 0 {
		return "There is none."
	}
	return didYouMean(given, names, names)
}

// orList writes values as "a", "b" or "c".
func orList(values []string) string {
	var quoted []string
	for _, v := range values {
		quoted = append(quoted, strconv.Quote(v))
	}
	last := len(quoted) - 1
	if last < 1 {
		return strings.Join(quoted, "")
	}
	return strings.Join(quoted[:last], ", ") + " or " + quoted[last]
}

// quote shows a value of the stack in a message: on one line, without control
// characters, and cut where it is long.
func quote(s string) string {
	const most = 80
	if runes := []rune(s); len(runes) > most {
		s = string(runes[:most]) + "…"
	}
	return strconv.Quote(s)
}

// upperFirst makes the first letter of a text, if it is ASCII, a capital.
func upperFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
