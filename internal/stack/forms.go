package stack

import (
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/zclconf/go-cty/cty"

	"github.com/relayctl/relayctl/internal/secret"
)

// text is a form for strings.
func text[T any](says string, read func(s string) (value T, problem string)) form {
	return form{says: says, typ: cty.String, read: func(v cty.Value) (any, string) { return read(v.AsString()) }}
}

// textThat is a form for strings that are right or wrong; advice is what there is
// to say of a wrong one besides.
func textThat[T any](says, advice string, read func(s string) (value T, ok bool)) form {
	return text(says, func(s string) (T, string) {
		if value, ok := read(s); ok {
			return value, ""
		}
		var none T
		return none, "is not " + says + advice
	})
}

// matching is a form for strings that stay as they are.
func matching(says, advice string, ok func(s string) bool) form {
	return textThat(says, advice, func(s string) (string, bool) { return s, ok(s) })
}

var (
	hostLabelPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	modelPattern     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$`)
	// userPattern leaves out what a shell acts on: commands in ssh's
	// configuration may be given the name.
	userPattern = regexp.MustCompile(`^[\pL\pN_][\pL\pM\pN._@+-]*(\\[\pL\pM\pN._@+-]+)?\$?$`)
)

func hostLabel() form {
	return matching("a name of a-z, 0-9 and hyphens that begins with a letter or digit, at most 63 characters", "", hostLabelPattern.MatchString)
}

const modelNameSays = "a model name of letters, digits and ._:/- that begins with a letter or digit, without .., at most 128 characters"

func modelName() form {
	return matching(modelNameSays, ". What the engine calls it goes into upstream, as it is", isModelName)
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
	return text(says, func(s string) (string, string) {
		switch {
		case strings.TrimSpace(s) == "":
			return "", "is empty: leave it out where the engine calls the model as clients do"
		case strings.ContainsFunc(s, unseen):
			return "", holdsUnseen
		case utf8.RuneCountInString(s) > most:
			return "", "is not " + says
		}
		return s, ""
	})
}

const holdsUnseen = "holds a line end or another control character: trimspace() takes it off the end of a file's text"

const userSays = `a user name of letters, digits and ._@+-, also DOMAIN\user, at most 256 characters`

func userName() form { return matching(userSays, "", isUserName) }

func isUserName(s string) bool { return userPattern.MatchString(s) && utf8.RuneCountInString(s) <= 256 }

// modelNames takes a list of names; whether they exist is checked later.
func modelNames() form {
	return form{says: "a list of model names", typ: cty.List(cty.String), read: func(v cty.Value) (any, string) {
		var list []string
		for _, element := range v.AsValueSlice() {
			name := ""
			if !element.IsNull() {
				name = element.AsString()
			}
			switch {
			case !isModelName(name):
				return nil, fmt.Sprintf("holds %s, which is not %s", quote(name), modelNameSays)
			case slices.Contains(list, name):
				return nil, fmt.Sprintf("names %s twice", quote(name))
			}
			list = append(list, name)
		}
		if len(list) == 0 {
			return nil, "is empty: leave it out to allow all models"
		}
		return list, ""
	}}
}

// filePath takes the path of a file on the operator's machine.
func filePath() form {
	const maxPath = 4096 // bytes, with the one that ends it: PATH_MAX of Linux
	return text("a path; ~/ is the home folder", func(s string) (string, string) {
		switch {
		case s == "":
			return "", "is empty"
		case len(s) >= maxPath:
			return "", "is longer than a path can be"
		case strings.ContainsFunc(s, unseen):
			return "", holdsUnseen
		case strings.HasPrefix(s, "~") && !strings.HasPrefix(s, "~/"), strings.HasPrefix(s, "$"):
			return "", "is not a whole path, and no shell reads it: only ~/ is the home folder, and an environment variable is written \"${env(\"NAME\")}/…\""
		}
		return s, ""
	})
}

// notYet begins what is said of a value that is known and not served.
const notYet = "is not supported yet"

// oneOf takes one of a few values.
func oneOf(choices ...choice) form {
	valid := names(choices, served)
	f := text(orList(valid), func(s string) (string, string) {
		switch {
		case slices.Contains(valid, s):
			return s, ""
		case slices.Contains(names(choices, later), s):
			return "", notYet + ". Supported now: " + orList(valid)
		}
		return "", "does not exist. " + didYouMean(s, names(choices, served, later), valid)
	})
	f.choices = choices
	return f
}

// whole takes a whole number within bounds.
func whole(low, high int64) form {
	says := fmt.Sprintf("a whole number from %d to %d", low, high)
	return form{says: says, typ: cty.Number, read: func(v cty.Value) (any, string) {
		n, accuracy := v.AsBigFloat().Int64()
		if accuracy != big.Exact || n < low || n > high {
			return nil, "is not " + says
		}
		return int(n), ""
	}}
}

// duration takes a time span as Go writes it, with blanks between its parts or
// without, and within bounds.
func duration(low, high time.Duration) form {
	says := fmt.Sprintf(`a duration such as "90s", "10m" or "1h30m", from %s to %s`, short(low), short(high))
	return textThat(says, "", func(s string) (time.Duration, bool) {
		d, err := time.ParseDuration(strings.Join(strings.Fields(strings.ToLower(s)), ""))
		return d, err == nil && d >= low && d <= high
	})
}

// short writes a duration of whole hours or seconds without its zero parts: 1h,
// not 1h0m0s.
func short(d time.Duration) string { return strings.TrimSuffix(d.String(), "0m0s") }

// lastMoment is the latest that the relay's files can say.
var lastMoment = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

// expiry takes a day or a moment, and reads the first moment at which something
// that expires then is no longer good.
func expiry() form {
	const says = `a date such as "2027-06-30", good to the end of that day in UTC, or a moment such as "2027-06-30T12:00:00Z"`
	return textThat(says, "", func(s string) (time.Time, bool) {
		end, err := time.Parse(time.DateOnly, s)
		if err == nil {
			end = end.AddDate(0, 0, 1)
		} else if end, err = time.Parse(time.RFC3339, strings.ToUpper(s)); err != nil {
			return time.Time{}, false
		}
		if end.After(lastMoment) {
			end = lastMoment
		}
		return end.UTC(), true
	})
}

// secretText takes a key that travels in an HTTP header. What is wrong with
// one is said without a part of it.
func secretText(least int) form {
	const most = 4096
	says := fmt.Sprintf("a secret of at most %d ASCII characters without control characters", most)
	if least > 1 {
		says = fmt.Sprintf("a secret of %d to %d ASCII characters without control characters", least, most)
	}
	f := text(says, func(s string) (secret.Value, string) {
		problem := ""
		switch {
		case s == "":
			problem = "is empty"
		case strings.TrimSpace(s) != s:
			problem = "begins or ends with white space: wrap it in trimspace()"
		case len(s) > 7 && strings.EqualFold(s[:7], "bearer "):
			problem = "begins with the word Bearer, which is put before it anyway: give the key alone"
		case strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII || unicode.IsControl(r) }):
			problem = "holds a character outside ASCII or a control character, such as a line end, which an HTTP header does not carry"
		case len(s) < least:
			problem = fmt.Sprintf("is shorter than %d characters, and could be guessed", least)
		case len(s) > most:
			problem = fmt.Sprintf("is longer than %d characters", most)
		}
		return secret.New(s), problem
	})
	f.secret = true
	return f
}
