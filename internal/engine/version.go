package engine

import (
	"slices"
	"strconv"
	"strings"
)

// newer reports whether version a comes after b, by their numbers
// (MAJOR.MINOR.PATCH; what follows a hyphen or plus, as in builds between two
// releases, does not count). What has no numbers is not newer than anything.
func newer(a, b string) bool {
	x, y := numbers(a), numbers(b)
	return x != nil && y != nil && slices.Compare(x, y) > 0
}

// numbers are the three of a version; nil: it has others, or none.
func numbers(version string) []int {
	release, _, _ := strings.Cut(strings.TrimPrefix(version, "v"), "+")
	release, _, _ = strings.Cut(release, "-")
	var list []int
	for part := range strings.SplitSeq(release, ".") {
		number, err := strconv.Atoi(part)
		if err != nil || number < 0 {
			return nil
		}
		list = append(list, number)
	}
	if len(list) != 3 {
		return nil
	}
	return list
}
