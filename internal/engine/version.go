package engine

import (
	"strconv"
	"strings"
)

// newer reports whether version a comes after b, by their numbers
// (MAJOR.MINOR.PATCH; what follows a hyphen or plus, as in builds between two
// releases, does not count). What has no numbers is not newer than anything.
func newer(a, b string) bool {
	x, xOK := numbers(a)
	y, yOK := numbers(b)
	if !xOK || !yOK {
		return false
	}
	for i := range x {
		if x[i] != y[i] {
			return x[i] > y[i]
		}
	}
	return false
}

func numbers(version string) (n [3]int, ok bool) {
	version = strings.TrimPrefix(version, "v")
	if end := strings.IndexAny(version, "-+"); end >= 0 {
		version = version[:end]
	}
	parts := strings.Split(version, ".")
	if len(parts) != len(n) {
		return n, false
	}
	for i, part := range parts {
		number, err := strconv.Atoi(part)
		if err != nil || number < 0 {
			return n, false
		}
		n[i] = number
	}
	return n, true
}
