package stack

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/zclconf/go-cty/cty"
)

// text is a form for strings: check says what is wrong with one.
func text(says string, check func(s string) string) form {
	return form{says: says, typ: cty.String, check: func(v cty.Value) string {
		return check(v.AsString())
	}}
}

// anything is the form of what is not served yet: it is never checked.
func anything(says string) form { return form{says: says, typ: cty.DynamicPseudoType} }

var (
	hostLabelPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	modelPattern     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$`)
	// userPattern leaves out what a shell acts on: commands in ssh's
	// configuration may be given the name.
	userPattern = regexp.MustCompile(`^[\pL\pN_][\pL\pM\pN._@+-]*(\\[\pL\pM\pN._@+-]+)?\$?$`)
)

func hostLabel() form {
	const says = "a name of a-z, 0-9 and hyphens that begins with a letter or digit, at most 63 characters"
	return text(says, func(s string) string {
		if !hostLabelPattern.MatchString(s) {
			return "is not " + says + suggest(nearLabel(s))
		}
		return ""
	})
}

func modelName() form {
	const says = "a model name of letters, digits and ._:/- that begins with a letter or digit, without .., at most 128 characters"
	return text(says, func(s string) string {
		if !isModelName(s) {
			return "is not " + says + suggest(nearModelName(s))
		}
		return ""
	})
}

func isModelName(s string) bool { return modelPattern.MatchString(s) && !strings.Contains(s, "..") }

// suggest ends a sentence with a name that would do; none where name is empty.
func suggest(name string) string {
	if name == "" {
		return ""
	}
	return ". A near one is " + quote(name)
}

var (
	notInLabel     = regexp.MustCompile(`[^a-z0-9]+`)
	notInModelName = regexp.MustCompile(`[^A-Za-z0-9._:/-]+`)
	manyDots       = regexp.MustCompile(`\.\.+`)
)

// nearLabel is a label like s; empty: nothing of s could stand in one.
func nearLabel(s string) string {
	near := strings.Trim(notInLabel.ReplaceAllString(strings.ToLower(s), "-"), "-")
	return strings.TrimRight(near[:min(len(near), 63)], "-")
}

// nearModelName is a model's name like s; empty: nothing of s could stand in
// one.
func nearModelName(s string) string {
	near := manyDots.ReplaceAllString(notInModelName.ReplaceAllString(s, "-"), ".")
	near = strings.TrimRight(strings.TrimLeft(near, "._:/-"), "-")
	return strings.TrimRight(near[:min(len(near), 128)], "-")
}

// unseen reports what may stand in no text of a stack: control characters, and
// those that change how the text around them is shown.
func unseen(r rune) bool {
	return unicode.IsControl(r) || r == utf8.RuneError || r == '\u2028' || r == '\u2029' || unicode.Is(unicode.Bidi_Control, r)
}

// upstreamName takes what the engine calls a model: any text, such as a path
// or a name for people.
func upstreamName() form {
	const most = 1024
	says := fmt.Sprintf("a model name as the engine has it: any text without control characters, of at most %d", most)
	return text(says, func(s string) string {
		switch {
		case strings.TrimSpace(s) == "":
			return "is empty: leave it out where the engine calls the model as clients do"
		case strings.ContainsFunc(s, unseen):
			return "holds a line end or another control character" + trimAdvice(s)
		case utf8.RuneCountInString(s) > most:
			return "is not " + says
		}
		return ""
	})
}

// trimAdvice says what helps where a text ends in a line end, as a file does.
func trimAdvice(s string) string {
	if strings.ContainsFunc(strings.TrimSpace(s), unseen) {
		return ""
	}
	return ": wrap it in trimspace()"
}

func userName() form {
	const most = 256
	says := fmt.Sprintf("a user name of letters, digits and ._@+-, also DOMAIN\\user, at most %d characters", most)
	return text(says, func(s string) string {
		switch {
		case userPattern.MatchString(s) && utf8.RuneCountInString(s) <= most:
			return ""
		case strings.ContainsFunc(s, unicode.IsSpace):
			return "is not " + says + ": commands in ssh's configuration would take it for two words"
		}
		return "is not " + says
	})
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
	const says = "a path; ~/ is the home folder"
	return text(says, func(s string) string {
		switch {
		case s == "":
			return "is empty"
		case strings.ContainsFunc(s, unseen):
			return "holds a line end or another control character" + trimAdvice(s)
		case strings.HasPrefix(s, "~") && !strings.HasPrefix(s, "~/"):
			return "begins with ~, which only ~/ may, the home folder of who runs relayctl: write the whole path"
		case strings.HasPrefix(s, "$"):
			return "begins with $, and no shell reads it: an environment variable is written \"${env(\"NAME\")}/…\""
		case len(s) > 4096:
			return "is longer than any path"
		}
		return ""
	})
}

const hostKeySays = `a host key: SHA256: and 43 characters, as "ssh-keygen -l" prints its fingerprint, or its public key, as ssh-keyscan prints it`

// hostKey takes a host's key in any form that ssh's programs print.
func hostKey() form {
	return text(hostKeySays, func(s string) string {
		_, problem := parseHostKey(s)
		return problem
	})
}

// parseHostKey finds the fingerprint in what ssh-keygen -l prints, or computes
// that of a public key, as it stands in a .pub file, in known_hosts and in the
// output of ssh-keyscan.
func parseHostKey(s string) (fingerprint, problem string) {
	s = strings.TrimSpace(s)
	if strings.ContainsAny(s, "\r\n") {
		return "", "is more than one line: a host is known by one key"
	}
	words := strings.Fields(s)
	for i, word := range words {
		if digest, ok := strings.CutPrefix(word, "SHA256:"); ok {
			digest = strings.TrimSuffix(digest, "=")
			if sum, err := base64.RawStdEncoding.Strict().DecodeString(digest); err == nil && len(sum) == sha256.Size {
				return "SHA256:" + digest, ""
			}
			return "", "is not " + hostKeySays
		}
		if strings.HasPrefix(word, "MD5:") {
			return "", "is an MD5 fingerprint, which can be forged: \"ssh-keygen -l -E sha256\" prints the other"
		}
		if i+1 < len(words) && isKeyType(word) {
			blob, err := base64.StdEncoding.DecodeString(words[i+1])
			if err != nil || !isKey(blob, word) {
				return "", "is not a whole public key: some of it is missing"
			}
			sum := sha256.Sum256(blob)
			return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:]), ""
		}
	}
	return "", "is not " + hostKeySays
}

func isKeyType(word string) bool {
	return strings.HasPrefix(word, "ssh-") || strings.HasPrefix(word, "ecdsa-sha2-") || strings.HasPrefix(word, "sk-")
}

// isKey reports whether a public key is whole: fields with their lengths, the
// first of which is its type.
func isKey(blob []byte, kind string) bool {
	fields := 0
	for len(blob) >= 4 {
		size := binary.BigEndian.Uint32(blob)
		if uint64(size) > uint64(len(blob)-4) || fields == 0 && string(blob[4:4+size]) != kind {
			return false
		}
		blob = blob[4+size:]
		fields++
	}
	return fields > 1 && len(blob) == 0
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

// duration takes a time span as Go writes it, and a little wider, within
// bounds.
func duration(low, high time.Duration) form {
	says := fmt.Sprintf(`a duration such as "90s", "10m" or "1h30m", from %s to %s`, short(low), short(high))
	return text(says, func(s string) string {
		d, err := parseDuration(s)
		switch {
		case err != nil && digitsOnly.MatchString(s):
			return "has no unit: " + quote(s+"s") + " are seconds"
		case err != nil || d < low || d > high:
			return "is not " + says
		}
		return ""
	})
}

var (
	digitsOnly = regexp.MustCompile(`^[0-9]+$`)
	daysFirst  = regexp.MustCompile(`^([0-9]{1,4})d`)
)

// parseDuration reads a duration in upper or lower case, with blanks between
// its parts, and with days before them.
func parseDuration(s string) (time.Duration, error) {
	s = strings.ToLower(strings.Join(strings.Fields(s), ""))
	days := time.Duration(0)
	if m := daysFirst.FindStringSubmatch(s); m != nil {
		n, err := strconv.Atoi(m[1])
		if err != nil {
			return 0, err
		}
		days, s = time.Duration(n)*24*time.Hour, s[len(m[0]):]
		if s == "" {
			return days, nil
		}
	}
	d, err := time.ParseDuration(s)
	return days + d, err
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
		if _, err := parseExpiry(s); err == nil {
			return ""
		}
		if _, err := parseExpiry(s + "Z"); err == nil {
			return "does not say of which time zone: add Z for UTC, or an offset such as +02:00"
		}
		return "is not " + says
	})
}

// moments are the forms of RFC 3339 and those of ISO 8601 that mean the same.
var moments = []string{time.RFC3339, "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05Z0700", "2006-01-02T15:04Z0700"}

// lastMoment is the latest that the relay's files can say.
var lastMoment = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

// parseExpiry returns the first moment at which something that expires at s is
// no longer good.
func parseExpiry(s string) (time.Time, error) {
	if day, err := time.Parse(time.DateOnly, s); err == nil {
		return earlier(day.AddDate(0, 0, 1), lastMoment), nil
	}
	s = strings.ToUpper(s)
	if len(s) > len(time.DateOnly) && s[len(time.DateOnly)] == ' ' {
		date, clock := s[:len(time.DateOnly)], s[len(time.DateOnly)+1:]
		s = date + "T" + strings.Replace(clock, " ", "", 1)
	}
	for _, form := range moments {
		if moment, err := time.Parse(form, s); err == nil {
			return earlier(moment.UTC(), lastMoment), nil
		}
	}
	return time.Time{}, errors.New("neither a date nor a moment")
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// secretText takes a key that travels in an HTTP header. What is wrong with
// one is said without a part of it.
func secretText(least int) form {
	const most = 4096
	says := fmt.Sprintf("a secret of %d to %d ASCII characters without control characters", least, most)
	if least == 1 {
		says = fmt.Sprintf("a secret of at most %d ASCII characters without control characters", most)
	}
	f := text(says, func(s string) string {
		switch {
		case s == "":
			return "is empty"
		case strings.TrimSpace(s) != s:
			return "begins or ends with white space: wrap it in trimspace()"
		case len(s) > 7 && strings.EqualFold(s[:7], "bearer "):
			return "begins with the word Bearer, which is put before it anyway: give the key alone"
		case strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII }):
			return "holds a character outside ASCII, which an HTTP header does not carry reliably"
		case strings.ContainsFunc(s, unicode.IsControl):
			return "holds a line end or another control character, which an HTTP header can't carry"
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
