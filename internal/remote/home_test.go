package remote_test

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"github.com/relayctl/relayctl/internal/remote"
)

// accountHome is the home folder that the password file tells of who runs the
// test.
func accountHome(t *testing.T) string {
	t.Helper()
	me, err := user.LookupId(fmt.Sprint(os.Getuid()))
	if err != nil {
		t.Fatal(err)
	}
	return me.HomeDir
}

// ssh goes by the account's home and not by HOME. So does all that relayctl
// takes from there: else a key would be listed where ssh does not look, or the
// configuration be of one home and the keys of another.
func TestHomeIsTheAccounts(t *testing.T) {
	for _, home := range []string{t.TempDir(), "", "relative"} {
		t.Setenv("HOME", home)
		d, err := remote.NewDialer()
		if err != nil {
			t.Fatal(err)
		}
		if want := accountHome(t); d.Home != want {
			t.Errorf("with HOME=%s it is %s, want %s", home, d.Home, want)
		}
		if d.SSH == "" {
			continue // then there is no other that could have another
		}
		out, err := exec.Command(d.SSH, "-F", os.DevNull, "-G", "edge").Output()
		if err != nil {
			t.Fatal(err)
		}
		_, said, _ := strings.Cut(string(out), "\nuserknownhostsfile ")
		file, _, _ := strings.Cut(said, " ")
		if got := strings.Replace(file, "~", d.Home, 1); got != filepath.Join(d.Home, ".ssh/known_hosts") {
			t.Errorf("with HOME=%s, ssh lists keys in %s and relayctl looks below %s", home, got, d.Home)
		}
	}
}
