package cli_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

const (
	uglyStack = "stack   \"home\"   {}\n"
	goodStack = "stack \"home\" {}\n"
)

// A file keeps its mode and its owner, and a link stays one.
func TestFormatReplacesTheFileItself(t *testing.T) {
	c := newConsole(t, "", "fmt", "link.hcl")
	if err := os.MkdirAll("real", 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("real", "stack.hcl")
	if err := os.WriteFile(file, []byte(uglyStack), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, "link.hcl"); err != nil {
		t.Fatal(err)
	}
	const nobody = 65534
	asRoot := os.Geteuid() == 0 // nobody else may give a file away
	if asRoot {
		if err := os.Chown(file, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	c.run(&hosts{}).wantCode(t, 0)
	if got, err := os.ReadFile(file); err != nil || string(got) != goodStack {
		t.Errorf("the file holds %q (%v)", got, err)
	}
	if target, err := os.Readlink("link.hcl"); err != nil || target != file {
		t.Errorf("the link leads to %q (%v)", target, err)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the file is %v (%v)", info.Mode(), err)
	}
	if stat := info.Sys().(*syscall.Stat_t); asRoot && (stat.Uid != nobody || stat.Gid != nobody) {
		t.Errorf("the file belongs to %d:%d", stat.Uid, stat.Gid)
	}
	if left, err := os.ReadDir("real"); err != nil || len(left) != 1 {
		t.Errorf("beside the file stand %v (%v)", left, err)
	}
}
