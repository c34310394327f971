package record

import (
	"os"
	"testing"

	"github.com/relayctl/relayctl/internal/plan"
)

// A sync that failed once is not tried again: the kernel has dropped what it
// could not write, and would say that all is well.
func TestFailedSync(t *testing.T) {
	j, err := Read(t.TempDir())
	if err == nil {
		err = j.Open()
	}
	if err != nil {
		t.Fatal(err)
	}
	j.file.Close()
	if j.file, err = os.OpenFile(os.DevNull, os.O_WRONLY, 0); err != nil { // which can be written, but not synced
		t.Fatal(err)
	}
	if err := j.Begin(Apply{Number: 1}); err != nil {
		t.Fatal(err)
	}
	change := Change{ID: plan.ID{Kind: plan.KindFile, Name: "/a"}, Action: plan.Create}
	if err := j.Change(change); err == nil {
		t.Error("a change began that is not on the disk")
	}
	if err := j.Changed(Changed{ID: change.ID}); err == nil {
		t.Error("it is written on after a sync that failed")
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
}
