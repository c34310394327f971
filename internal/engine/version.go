package engine

import (
	"fmt"
	"slices"
	"strings"
)

// newer reports whether version a comes after b, by their numbers
// (MAJOR.MINOR.PATCH; what follows them, as in builds between two releases, does
// not count). What has no numbers is not newer than anything.
func newer(a, b string) bool {
	x, y := numbers(a), numbers(b)
	return x != nil && y != nil && slices.Compare(x, y) > 0
}

// numbers are the three of a version; nil: it has none.
func numbers(version string) []int {
	list := make([]int, 3)
	if _, err := fmt.Sscanf(strings.TrimPrefix(version, "v"), "%d.%d.%d", &list[0], &list[1], &list[2]); err != nil {
		return nil
	}
	return list
}
