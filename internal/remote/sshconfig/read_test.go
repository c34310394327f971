package sshconfig

import (
	"context"
	"maps"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

// followed are the keywords that relayctl goes by.
var followed = strings.Fields(`hostname user port identityfile identitiesonly identityagent certificatefile
	hostkeyalias hostkeyalgorithms userknownhostsfile globalknownhostsfile hashknownhosts
	preferredauthentications pubkeyauthentication passwordauthentication kbdinteractiveauthentication
	batchmode connecttimeout addressfamily bindaddress proxyjump proxycommand`)

// configuration is a text in txtar form, laid out in a folder, which is DIR in
// the text: the first part is the file to read.
type configuration struct{ folder string }

func layOut(t testing.TB, text string) configuration {
	t.Helper()
	folder := t.TempDir()
	archive := txtar.Parse([]byte(strings.ReplaceAll(text, "DIR", folder)))
	archive.Files = append(archive.Files, txtar.File{Name: "config", Data: archive.Comment})
	for _, f := range archive.Files {
		path := filepath.Join(folder, f.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return configuration{folder}
}

func (c configuration) path() string { return filepath.Join(c.folder, "config") }

func (c configuration) read(q Query) (Config, error) {
	me := whoRuns()
	return readFiles(me.HomeDir, me.Username, q, []file{{path: c.path(), folder: c.folder}})
}

// ask has the real ssh read the same.
func (c configuration) ask(t testing.TB, q Query) (Config, error) {
	t.Helper()
	ssh, err := exec.LookPath("ssh")
	if err != nil {
		t.Skip("there is no ssh to compare with")
	}
	wrapper := filepath.Join(c.folder, "ssh")
	script := "#!/bin/sh\nexec '" + ssh + "' -F '" + c.path() + "' \"$@\"\n"
	if err := os.WriteFile(wrapper, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return Ask(context.Background(), wrapper, q)
}

func whoRuns() *user.User {
	me, err := user.Current()
	if err != nil {
		panic(err)
	}
	return me
}

// plain are the values of the followed keywords, in the one of several forms
// that ssh prints.
func (c Config) plain() map[string][]string {
	plain := map[string][]string{}
	for _, keyword := range followed {
		for _, value := range c.All(keyword) {
			if value == "~/.ssh/id_dsa" {
				continue // which ssh 10 has given up
			}
			switch keyword {
			case "userknownhostsfile", "identityagent":
				value = strings.ReplaceAll(value, "~/", whoRuns().HomeDir+"/")
			case "proxyjump":
				value = strings.NewReplacer("[", "", "]", "", "ssh://", "").Replace(value)
			}
			plain[keyword] = append(plain[keyword], value)
		}
	}
	return plain
}

// beyondDefaults is what a configuration changes, a line for each value.
func (c Config) beyondDefaults(address string) string {
	nothing, err := readFiles(whoRuns().HomeDir, whoRuns().Username, Query{Address: address}, nil)
	if err != nil {
		panic(err)
	}
	var lines []string
	for _, keyword := range followed {
		if !slices.Equal(c.All(keyword), nothing.All(keyword)) {
			lines = append(lines, keyword+" "+strings.Join(c.All(keyword), ", "))
		}
	}
	return strings.Join(lines, "; ")
}

// Every row says what is read, and the real ssh says the same.
func TestReadsAsSSHDoes(t *testing.T) {
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			q := row.query
			if q.Address == "" {
				q = host
			}
			c := layOut(t, row.text)
			got, err := c.read(q)
			switch {
			case row.error == "" && err != nil:
				t.Fatal(err)
			case row.error != "" && (err == nil || !strings.Contains(err.Error(), row.error)):
				t.Errorf("error is %v, want one with %q", err, row.error)
			}
			if said := got.beyondDefaults(q.Address); row.error == "" && said != row.want {
				t.Errorf("got  %s\nwant %s", said, row.want)
			}
			compare(t, c, q)
		})
	}
}

// compare holds that ssh says the same, or refuses the same.
func compare(t *testing.T, c configuration, q Query) {
	t.Helper()
	own, ownErr := c.read(q)
	asked, askedErr := c.ask(t, q)
	if (ownErr != nil) != (askedErr != nil) {
		t.Errorf("our error is %v, ssh's is %v", ownErr, askedErr)
	}
	if ownErr != nil || askedErr != nil {
		return
	}
	if diff := cmp.Diff(asked.plain(), own.plain()); diff != "" {
		t.Errorf("(-ssh +we):\n%s", diff)
	}
	told, ours := asked.NotFollowed(), own.NotFollowed()
	if diff := cmp.Diff(told, ours[len(own.unread):]); len(told)+len(ours) > 0 && diff != "" {
		t.Errorf("not followed (-ssh +we):\n%s", diff)
	}
}

// Every keyword that relayctl follows is read by both ways, and set in a row.
func TestFollowedKeywordsAreRead(t *testing.T) {
	for _, keyword := range followed {
		if readings[keyword] == nil && switches[keyword] == nil {
			t.Errorf("%s is not read", keyword)
		}
		if !slices.ContainsFunc(rows, func(r row) bool { return strings.Contains("; "+r.want, "; "+keyword+" ") }) {
			t.Errorf("%s is in no row", keyword)
		}
	}
	for keyword := range maps.Keys(defaults) {
		if !slices.Contains(followed, keyword) {
			t.Errorf("%s has a default, and nobody follows it", keyword)
		}
	}
}
