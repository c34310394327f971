package host_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/relayctl/relayctl/internal/host"
)

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
