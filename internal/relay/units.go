package relay

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Size is a number of bytes, written as "32MiB", "512KiB", "1.5GiB" or "1000".
// Letter case and a blank before the unit don't matter. What MB means, nobody
// agrees on.
type Size int64

var sizeUnits = []struct {
	suffix string
	bytes  int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"B", 1}, {"", 1}}

var sizePattern = regexp.MustCompile(`(?i)^([0-9]{1,15}(?:\.[0-9]{1,15})?)[ \t]*([kmg]ib|b?)$`)

// UnmarshalText parses s.
func (s *Size) UnmarshalText(text []byte) error {
	wrong := fmt.Errorf("%q is no size such as 32MiB", text)
	m := sizePattern.FindStringSubmatch(strings.TrimSpace(string(text)))
	if m == nil {
		return wrong
	}
	for _, unit := range sizeUnits {
		if !strings.EqualFold(m[2], unit.suffix) {
			continue
		}
		n, err := strconv.ParseFloat(m[1], 64)
		if bytes := n * float64(unit.bytes); err == nil && bytes < 1<<62 && bytes == math.Trunc(bytes) {
			*s = Size(bytes)
			return nil
		}
	}
	return wrong
}

// MarshalText prints s in the largest unit that leaves no rest.
func (s Size) MarshalText() ([]byte, error) {
	for _, unit := range slices.Backward(sizeUnits[:3]) {
		if s > 0 && int64(s)%unit.bytes == 0 {
			return []byte(strconv.FormatInt(int64(s)/unit.bytes, 10) + unit.suffix), nil
		}
	}
	return []byte(strconv.FormatInt(int64(s), 10)), nil
}
