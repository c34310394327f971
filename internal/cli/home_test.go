package cli_test

import (
	"os"
	"path/filepath"
	"testing"
)

// ~/ in a stack is the account's home, as for ssh, whatever HOME says.
func TestHomeInAStack(t *testing.T) {
	c := newConsole(t, "", "plan")
	c.Home = t.TempDir()
	c.Env = func(name string) (string, bool) { return "/elsewhere", name == "HOME" }
	if err := os.WriteFile(filepath.Join(c.Home, "user"), []byte("ops"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("stack.hcl", []byte(stackFile+"ssh {\n  user = file(\"~/user\")\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h := &hosts{planned: planOf()}
	c.run(h).wantCode(t, 0)
	if got := h.config.Stack.Proxy.SSH.User; got != "ops" {
		t.Errorf("the user is %q", got)
	}
}
