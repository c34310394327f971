package stack

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/big"
	"regexp"
	"slices"
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

var (
	hostLabelPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	modelPattern     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$`)
	// userPattern leaves out what a shell acts on: commands in ssh's
	// configuration may be given the name.
	userPattern = regexp.MustCompile(`^[\pL\pN_][\pL\pM\pN._@+-]*(\\[\pL\pM\pN._@+-]+)?\$?$`)
)

// textThat is a form for strings of which ok says all there is to say.
func textThat(says string, ok func(s string) bool) form {
	return text(says, func(s string) string {
		if !ok(s) {
			return "is not " + says
		}
		return ""
	})
}

func hostLabel() form {
	return textThat("a name of a-z, 0-9 and hyphens that begins with a letter or digit, at most 63 characters", hostLabelPattern.MatchString)
}

func modelName() form {
	return textThat("a model name of letters, digits and ._:/- that begins with a letter or digit, without .., at most 128 characters", isModelName)
}

func isModelName(s string) bool { return modelPattern.MatchString(s) && !strings.Contains(s, "..") }

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
			return holdsUnseen
		case utf8.RuneCountInString(s) > most:
			return "is not " + says
		}
		return ""
	})
}

const holdsUnseen = "holds a line end or another control character: trimspace() takes it off the end of a file's text"

func userName() form {
	const most = 256
	return textThat(fmt.Sprintf("a user name of letters, digits and ._@+-, also DOMAIN\\user, at most %d characters", most), func(s string) bool {
		return userPattern.MatchString(s) && utf8.RuneCountInString(s) <= most
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
			if !isModelName(name) {
				return fmt.Sprintf("holds %s, which is not %s", quote(name), modelName().says)
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
			return holdsUnseen
		case strings.HasPrefix(s, "~") && !strings.HasPrefix(s, "~/"), strings.HasPrefix(s, "$"):
			return "is not a whole path, and no shell reads it: only ~/ is the home folder, and an environment variable is written \"${env(\"NAME\")}/…\""
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
		}
		if i > 0 {
			if blob, err := base64.StdEncoding.DecodeString(word); err == nil && isKey(blob, words[i-1]) {
				sum := sha256.Sum256(blob)
				return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:]), ""
			}
		}
	}
	return "", "is not " + hostKeySays
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

// notYet begins what is said of a value that is known and not served.
const notYet = "is not supported yet"

// oneOf takes one of a few values.
func oneOf(choices ...choice) form {
	valid := names(choices, served)
	f := text(orList(valid), func(s string) string {
		switch {
		case slices.Contains(valid, s):
			return ""
		case slices.Contains(names(choices, later), s):
			return notYet + ". Supported now: " + orList(valid)
		}
		return "does not exist. " + didYouMean(s, names(choices, served, later), valid)
	})
	f.choices = choices
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
	return textThat(says, func(s string) bool {
		d, err := parseDuration(s)
		return err == nil && d >= low && d <= high
	})
}

// parseDuration reads a duration, with blanks between its parts or without.
func parseDuration(s string) (time.Duration, error) {
	return time.ParseDuration(strings.Join(strings.Fields(strings.ToLower(s)), ""))
}

// short writes a duration of whole hours or seconds without its zero parts: 1h,
// not 1h0m0s.
func short(d time.Duration) string { return strings.TrimSuffix(d.String(), "0m0s") }

// date takes a day or a moment.
func date() form {
	const says = `a date such as "2027-06-30", good to the end of that day in UTC, or a moment such as "2027-06-30T12:00:00Z"`
	return textThat(says, func(s string) bool {
		_, err := parseExpiry(s)
		return err == nil
	})
}

// lastMoment is the latest that the relay's files can say.
var lastMoment = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

// parseExpiry returns the first moment at which something that expires at s is
// no longer good.
func parseExpiry(s string) (time.Time, error) {
	end, err := time.Parse(time.DateOnly, s)
	if err == nil {
		end = end.AddDate(0, 0, 1)
	} else if end, err = time.Parse(time.RFC3339, strings.ToUpper(s)); err != nil {
		return time.Time{}, err
	}
	if end.After(lastMoment) {
		return lastMoment, nil
	}
	return end.UTC(), nil
}

// secretText takes a key that travels in an HTTP header. What is wrong with
// one is said without a part of it.
func secretText(least int) form {
	const most = 4096
	says := fmt.Sprintf("a secret of at most %d ASCII characters without control characters", most)
	if least > 1 {
		says = fmt.Sprintf("a secret of %d to %d ASCII characters without control characters", least, most)
	}
	f := text(says, func(s string) string {
		switch {
		case s == "":
			return "is empty"
		case strings.TrimSpace(s) != s:
			return "begins or ends with white space: wrap it in trimspace()"
		case len(s) > 7 && strings.EqualFold(s[:7], "bearer "):
			return "begins with the word Bearer, which is put before it anyway: give the key alone"
		case strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII || unicode.IsControl(r) }):
			return "holds a character outside ASCII or a control character, such as a line end, which an HTTP header does not carry"
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

// texts lists the strings of a list of strings, "" for one that has no value.
func texts(v cty.Value) []string {
	var list []string
	for _, element := range v.AsValueSlice() {
		text := ""
		if element.IsKnown() && !element.IsNull() {
			text = element.AsString()
		}
		list = append(list, text)
	}
	return list
}
