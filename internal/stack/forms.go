package stack

import (
	"encoding/base64"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/zclconf/go-cty/cty"
)

// text is a form for strings: check says what is wrong with one.
func text(says string, check func(s string) string) form {
	return form{says: says, typ: cty.String, check: func(v cty.Value) string {
		return check(v.AsString())
	}}
}

// matching is a form for strings that match pattern and are short of limit.
func matching(says string, pattern *regexp.Regexp) form {
	return text(says, func(s string) string {
		if !pattern.MatchString(s) {
			return "is not " + says
		}
		return ""
	})
}

// anything is the form of what is not served yet: it is never checked.
func anything(says string) form { return form{says: says, typ: cty.DynamicPseudoType} }

var (
	hostLabelPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	modelPattern     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$`)
	upstreamPattern  = regexp.MustCompile(`^[A-Za-z0-9/._][A-Za-z0-9._:/@+-]{0,255}$`)
	userPattern      = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$`)
)

func hostLabel() form {
	return matching("a name of a-z, 0-9 and hyphens that begins with a letter or digit, at most 63 characters",
		hostLabelPattern)
}

func modelName() form {
	const says = "a model name of letters, digits and ._:/- that begins with a letter or digit, without .., at most 128 characters"
	return text(says, func(s string) string {
		if !modelPattern.MatchString(s) || strings.Contains(s, "..") {
			return "is not " + says
		}
		return ""
	})
}

func upstreamName() form {
	return matching("a model name of letters, digits and ._:/@+-, at most 256 characters", upstreamPattern)
}

func userName() form {
	return matching("a user name of letters, digits and ._-, at most 64 characters", userPattern)
}

// modelNames takes a list of names; whether they exist is checked later.
func modelNames() form {
	return form{says: "a list of model names", typ: cty.List(cty.String), check: func(v cty.Value) string {
		names := texts(v)
		if len(names) == 0 {
			return "is empty: leave it out to allow all models"
		}
		for i, name := range names {
			if problem := modelName().check(cty.StringVal(name)); problem != "" {
				return fmt.Sprintf("holds %s, which %s", quote(name), problem)
			}
			if slices.Contains(names[:i], name) {
				return fmt.Sprintf("names %s twice", quote(name))
			}
		}
		return ""
	}}
}

// filePath takes the path of a file on the operator's machine.
func filePath() form {
	const says = "a path of letters, digits, spaces and ._/~@+=,:-"
	return text(says, func(s string) string {
		odd := func(r rune) bool {
			return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(" ._/~@+=,:-", r)
		}
		if s == "" || len(s) > 4096 || strings.ContainsFunc(s, odd) {
			return "is not " + says
		}
		return ""
	})
}

// fingerprint takes what ssh-keygen -l prints of a host key.
func fingerprint() form {
	const says = `the SHA256 fingerprint of a host key, as "ssh-keygen -l" prints it: SHA256: and 43 characters`
	return text(says, func(s string) string {
		digest, ok := strings.CutPrefix(s, "SHA256:")
		sum, err := base64.RawStdEncoding.Strict().DecodeString(digest)
		if !ok || err != nil || len(sum) != 32 || strings.ContainsAny(digest, "\r\n") {
			return "is not " + says
		}
		return ""
	})
}

// oneOf takes one of a few values. Those that are not served yet are told
// apart from those that do not exist by the decoder.
func oneOf(choices ...choice) form {
	f := form{typ: cty.String, choices: choices}
	f.says = orList(f.values(served))
	if f.says == "" {
		f.says = orList(f.values(later))
	}
	return f
}

// whole takes a whole number within bounds.
func whole(low, high int64) form {
	says := fmt.Sprintf("a whole number from %d to %d", low, high)
	return form{says: says, typ: cty.Number, check: func(v cty.Value) string {
		n := v.AsBigFloat()
		if !n.IsInt() || n.Cmp(new(big.Float).SetInt64(low)) < 0 || n.Cmp(new(big.Float).SetInt64(high)) > 0 {
			return "is not " + says
		}
		return ""
	}}
}

// duration takes a time span as Go writes it, within bounds.
func duration(low, high time.Duration) form {
	says := fmt.Sprintf(`a duration such as "90s", "10m" or "1h30m", from %s to %s`, short(low), short(high))
	return text(says, func(s string) string {
		d, err := time.ParseDuration(s)
		if err != nil || d < low || d > high {
			return "is not " + says
		}
		return ""
	})
}

// short writes a duration without its zero parts: 1h, not 1h0m0s.
func short(d time.Duration) string {
	s := d.String()
	if d >= time.Minute {
		s = strings.TrimSuffix(s, "0s")
	}
	if d >= time.Hour {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// date takes a day or a moment.
func date() form {
	const says = `a date such as "2027-06-30", good to the end of that day in UTC, or a moment such as "2027-06-30T12:00:00Z"`
	return text(says, func(s string) string {
		if _, err := parseExpiry(s); err != nil {
			return "is not " + says
		}
		return ""
	})
}

// parseExpiry returns the first moment at which something that expires at s is
// no longer good.
func parseExpiry(s string) (time.Time, error) {
	if day, err := time.Parse(time.DateOnly, s); err == nil {
		return day.AddDate(0, 0, 1), nil
	}
	moment, err := time.Parse(time.RFC3339, s)
	return moment.UTC(), err
}

// secretText takes a key that travels in an HTTP header. What is wrong with
// one is said without a part of it.
func secretText(least int) form {
	const most = 4096
	says := fmt.Sprintf("a secret of %d to %d visible ASCII characters", least, most)
	if least == 1 {
		says = fmt.Sprintf("a secret of at most %d visible ASCII characters", most)
	}
	f := text(says, func(s string) string {
		switch {
		case s == "":
			return "is empty"
		case strings.TrimSpace(s) != s:
			return "begins or ends with white space: wrap it in trimspace()"
		case strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }):
			return "holds a space, or a character that is not visible ASCII"
		case len(s) < least:
			return fmt.Sprintf("is shorter than %d characters, and could be guessed", least)
		case len(s) > most:
			return fmt.Sprintf("is longer than %d characters", most)
		}
		return ""
	})
	f.secret = true
	return f
}

// texts lists the strings of a known list of strings.
func texts(v cty.Value) []string {
	var list []string
	for _, element := range v.AsValueSlice() {
		if element.IsNull() || !element.IsKnown() {
			list = append(list, "")
			continue
		}
		list = append(list, element.AsString())
	}
	return list
}
