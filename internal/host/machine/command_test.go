package machine_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/relayctl/relayctl/internal/host/machine"
)

// What a command prints is heard while it runs, as lines that can be shown.
func TestCommandIsHeard(t *testing.T) {
	var mu sync.Mutex
	var heard []string
	output, err := machine.ExecRunner{}.Run(t.Context(), machine.Command{
		Name: "sh", Args: []string{"-c", `printf 'one\r\033[1mtwo\n\n%05000d\nthree\nend' 0; echo aside >&2`},
		Hear: func(line string) {
			mu.Lock()
			defer mu.Unlock()
			heard = append(heard, line)
		},
	})
	slices.Sort(heard)
	if want := []string{"[1mtwo", "aside", "one", "three"}; err != nil || !slices.Equal(heard, want) {
		t.Errorf("heard %q, want %q; %v", heard, want, err)
	}
	if !strings.HasSuffix(string(output), "three\nend") {
		t.Errorf("the output ends in %q", output[max(0, len(output)-20):])
	}
}

// runner runs nothing.
type runner func(command machine.Command)

func (r runner) Run(_ context.Context, command machine.Command) ([]byte, error) {
	r(command)
	return nil, nil
}

// No password is heard of what apt prints.
func TestWhatIsHeardOfAptIsMasked(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(root+"/etc", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(root+"/etc/environment", []byte("http_proxy=http://me:hunter2@proxy:3128\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	m := machine.New(machine.Config{Root: root, Runner: runner(func(command machine.Command) { command.Hear("Err: hunter2 at http://other:pw@mirror/x") })})
	var heard string
	m.RunApt(t.Context(), machine.Command{Name: "apt-get", Hear: func(line string) { heard = line }})
	if !strings.HasPrefix(heard, "Err: ") || strings.Contains(heard, "hunter2") || strings.Contains(heard, "pw") {
		t.Errorf("heard %q", heard)
	}
}
