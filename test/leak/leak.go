// Package leak finds goroutines that tests leave behind.
package leak

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// patience is how long goroutines on their way out are waited for.
const patience = 5 * time.Second

// Main runs a package's tests and exits, with a failure where goroutines of
// this module are left afterwards.
func Main(m *testing.M) {
	code := m.Run()
	if leaked := left(); code == 0 && leaked != "" {
		fmt.Fprintln(os.Stderr, "goroutines left behind:\n"+leaked)
		code = 1
	}
	os.Exit(code)
}

// left is the stacks of the goroutines of ours that do not end.
func left() string {
	deadline := time.Now().Add(patience)
	for {
		buf := make([]byte, 1<<20)
		buf = buf[:runtime.Stack(buf, true)]
		var ours []string
		for g := range strings.SplitSeq(string(buf), "\n\n") {
			if strings.Contains(g, "relayctl/internal/") && !strings.Contains(g, "leak.left") {
				ours = append(ours, g)
			}
		}
		if len(ours) == 0 || time.Now().After(deadline) {
			return strings.Join(ours, "\n\n")
		}
		runtime.Gosched()
	}
}
