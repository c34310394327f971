package kind_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/host/kind"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestWhatAptSays reads what apt said on Debian 13 in some real troubles.
func TestWhatAptSays(t *testing.T) {
	outputs, err := filepath.Glob("testdata/apt/*.stdout")
	if err != nil || len(outputs) == 0 {
		t.Fatalf("no outputs: %v", err)
	}
	var got strings.Builder
	for _, stdout := range outputs {
		name := strings.TrimSuffix(stdout, ".stdout")
		told := kind.AptSays(readFile(t, stdout), readFile(t, name+".stderr"))
		fmt.Fprintf(&got, "%s: %s\n", filepath.Base(name), told.Message)
		for _, line := range told.Log {
			fmt.Fprintf(&got, "    %s\n", line)
		}
		for line := range strings.Lines(told.Hint) {
			fmt.Fprintf(&got, "  %s\n", strings.TrimSuffix(line, "\n"))
		}
		got.WriteString("\n")
	}
	const golden = "testdata/apt/told.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(readFile(t, golden), got.String()); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// What apt could not fetch: the hint says what it was told, and how to see the
// same by hand.
func TestHintWhereAptCanNotFetch(t *testing.T) {
	const said = "E: Failed to fetch http://deb.debian.org/debian/dists/trixie/InRelease  Could not connect"
	for _, test := range []struct {
		name  string
		proxy []string
		want  []string
		not   string
	}{
		{"no proxy", nil, []string{"/etc/environment alone, not from a shell's profile", "\n  getent hosts deb.debian.org\n", "\n  env -i apt-get update"}, "sh -ac"},
		{"a proxy", []string{"http_proxy=http://u:s3cr3t@p", "no_proxy=x"}, []string{"by http_proxy, no_proxy in /etc/environment", "\n  env -i sh -ac '. /etc/environment; apt-get update'"}, "s3cr3t"},
		{"upper case only", []string{"HTTP_PROXY=http://p"}, []string{"apt heeds http_proxy and https_proxy, not HTTP_PROXY"}, "sh -ac"},
		{"only past it", []string{"no_proxy=x"}, []string{"getent hosts"}, "sh -ac"},
		{"turned off", []string{"http_proxy="}, []string{"getent hosts"}, "sh -ac"},
	} {
		t.Run(test.name, func(t *testing.T) {
			told := kind.AptSays("", said, test.proxy...)
			for _, want := range test.want {
				if !strings.Contains(told.Hint, want) {
					t.Errorf("%q is missing in %q", want, told.Hint)
				}
			}
			if strings.Contains(told.Hint, test.not) {
				t.Errorf("the hint is %q", told.Hint)
			}
		})
	}
}
