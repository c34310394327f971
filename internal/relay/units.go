package relay

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Size is a number of bytes, written as "32MiB", "512KiB", "1GiB" or "1000".
type Size int64

var sizeUnits = []struct {
	suffix string
	bytes  int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"", 1}}

// UnmarshalText parses s.
func (s *Size) UnmarshalText(text []byte) error {
	for _, unit := range sizeUnits {
		digits, ok := strings.CutSuffix(string(text), unit.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(digits, 10, 32)
		if err != nil || n < 0 {
			return fmt.Errorf("%q is no size such as 32MiB", text)
		}
		*s = Size(n * unit.bytes)
		return nil
	}
	return nil
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
