package plan_test

import (
	"testing"
	"time"

	"github.com/relayctl/relayctl/internal/plan"
)

// Whatever a host says, only printable characters reach the terminal, and
// plain text passes unchanged.
func FuzzPrintable(f *testing.F) {
	for _, seed := range []string{"plain", "é→", "\x1b[2J", "\xff\xfe", "a\u202eb", "\\t\t", "\u0085\u200b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		plain := true
		for i := range len(text) {
			plain = plain && text[i] >= ' ' && text[i] <= '~'
		}
		for _, ascii := range []bool{false, true} {
			got := plan.Printable(text, ascii)
			if plain && got != text {
				t.Errorf("%q became %q", text, got)
			}
			for _, r := range got {
				if r < ' ' || r >= 0x7f && r < 0xa0 || ascii && r > '~' {
					t.Errorf("%q became %q", text, got)
				}
			}
		}
	})
}

func TestSeconds(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 ms", 240 * time.Millisecond: "240 ms", 620 * time.Millisecond: "0.6 s", 9900 * time.Millisecond: "9.9 s",
		9960 * time.Millisecond: "10 s", 31 * time.Second: "31 s", 59700 * time.Millisecond: "1 min", 125 * time.Second: "2 min 5 s",
	} {
		if got := plan.Seconds(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}
