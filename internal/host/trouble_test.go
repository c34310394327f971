package host_test

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/host"
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
		told := host.AptSays(readFile(t, stdout), readFile(t, name+".stderr"))
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

func TestErrorsOfTheSystemAreExplained(t *testing.T) {
	path := filepath.Join(t.TempDir(), "there", "is", "no", "such", "file")
	at := func(err error) error {
		return fmt.Errorf("write: %w", &fs.PathError{Op: "write", Path: path, Err: err})
	}
	for _, test := range []struct {
		err  error
		says []string
	}{
		{at(syscall.ENOSPC), []string{"no space left on the file system /", " free of ", "iB, 3.0 MiB needed"}},
		{at(syscall.EDQUOT), []string{"root's quota there is used up, 3.0 MiB needed"}},
		{at(syscall.EROFS), []string{"the file system /", " is mounted read-only"}},
		{at(syscall.EIO), []string{"the disk under /", " fails: input/output error"}},
		{&os.LinkError{Op: "rename", Old: "/a", New: path, Err: syscall.EROFS}, []string{" is mounted read-only"}},
	} {
		told := host.Explained(test.err, 3<<20)
		if told == nil {
			t.Errorf("%v: nothing is told", test.err)
			continue
		}
		for _, text := range test.says {
			if !strings.Contains(told.Message, text) {
				t.Errorf("%v: %q is missing in %q", test.err, text, told.Message)
			}
		}
		if told.Hint == "" || len(told.Log) != 1 || told.Log[0] != test.err.Error() {
			t.Errorf("%v: hint %q, log %q", test.err, told.Hint, told.Log)
		}
	}
	for _, err := range []error{at(syscall.ENOENT), at(syscall.EPERM), syscall.ENOSPC} {
		if told := host.Explained(err, 0); told != nil {
			t.Errorf("%v: told %q", err, told.Message)
		}
	}
}
