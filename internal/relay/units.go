package relay

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// Size is a number of bytes, written as "32MiB", "512KiB", "1.5GiB" or "1000".
// Letter case and a blank before the unit don't matter. What MB means, nobody
// agrees on.
type Size int64

var (
	sizePattern = regexp.MustCompile(`(?i)^([0-9]{1,15}(?:\.[0-9]{1,15})?)[ \t]*(?:([kmg])ib|b?)$`)
	sizeUnits   = []string{"", "KiB", "MiB", "GiB"}
)

// UnmarshalText parses s.
func (s *Size) UnmarshalText(text []byte) error {
	if m := sizePattern.FindStringSubmatch(strings.TrimSpace(string(text))); m != nil {
		n, err := strconv.ParseFloat(m[1], 64)
		unit := strings.Index(" kmg", strings.ToLower(m[2])) // 0 for none
		if bytes := math.Ldexp(n, 10*unit); err == nil && bytes < 1<<62 && bytes == math.Trunc(bytes) {
			*s = Size(bytes)
			return nil
		}
	}
	return fmt.Errorf("%q is no size such as 32MiB", text)
}

// MarshalText prints s in the largest unit that leaves no rest.
func (s Size) MarshalText() ([]byte, error) {
	unit := 0
	for s != 0 && s%1024 == 0 && unit+1 < len(sizeUnits) {
		s /= 1024
		unit++
	}
	return fmt.Appendf(nil, "%d%s", s, sizeUnits[unit]), nil
}
