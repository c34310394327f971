package plan_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/plan"
)

// notesOn plans to replace a Caddyfile of somebody else and returns what the
// plan notes on it.
func notesOn(t *testing.T, caddyfile, site string) []string {
	t.Helper()
	fact := hand()
	fact.Content = []byte(caddyfile)
	host := fileHost(fact)
	host.Want[0].Check, host.Want[0].Site = plan.CheckCaddy, site
	changes := planOf(host).Changes
	if len(changes) != 1 || !changes[0].Adoptable {
		t.Fatalf("%q", steps(planOf(host)))
	}
	return changes[0].Notes
}

func TestSitesThatGoOutOfService(t *testing.T) {
	const out = "takes out of service: "
	for _, row := range []struct {
		name, caddyfile string
		want            []string
	}{
		{"empty", "", nil},
		{"comments only", "# nothing\n\n  # here\n", nil},
		{"ours alone", "llm.example.com {\n\treverse_proxy 127.0.0.1:8080\n}\n", nil},
		{"ours in every form", "http://llm.example.com, https://LLM.example.com:443 {\n}\nhttp://llm.example.com:80 {\n}\n", nil},
		{"ours on another port", "llm.example.com:8443 {\n}\n", []string{out + "llm.example.com:8443"}},
		{"with options before", "{\n\temail you@example.com\n\tservers {\n\t}\n}\nblog.example.com {\n}\n", []string{out + "blog.example.com"}},
		{"several, in one block and in more", "a.example.com,\nb.example.com, c.example.com {\n\thandle /x {\n\t\trespond \"}\"\n\t}\n}\n:8080 {\n}\n",
			[]string{out + "a.example.com, b.example.com, c.example.com and :8080"}},
		{"one site without braces", "blog.example.com\nroot * /srv\nhandle {\n\tfile_server\n}\n", []string{out + "blog.example.com"}},
		{"catch-all", ":80 {\n\troot * /usr/share/caddy\n}\n", []string{out + ":80"}},
		{"snippets and named routes are none", "(common) {\n\tencode gzip\n}\n&(route) {\n}\nblog.example.com {\n\timport common\n}\n", []string{out + "blog.example.com"}},
		{"quotes, comments and continued lines", "\"blog.example.com\" { # the } blog\n\trespond `\n}\n` \\\n\t\t200\n}\nllm.example.com {\n}\n", []string{out + "blog.example.com"}},
		{"a heredoc with braces", "blog.example.com {\n\trespond <<HTML\n}\nx.example.com {\n\tHTML 200\n}\nllm.example.com {\n}\n", []string{out + "blog.example.com"}},
		{"imports", "import sites/*.caddy\nllm.example.com {\n}\nimport /etc/more\n",
			[]string{"and the sites of what it imports, which stays: sites/*.caddy and /etc/more"}},
		{"one twice", "b.example.com {\n}\nb.example.com {\n}\n", []string{out + "b.example.com"}},
		{"a placeholder", "{$DOMAIN} {\n}\n", []string{out + "{$DOMAIN}"}},
		{"a mistake", "}\n}\nb.example.com {\n", []string{out + "b.example.com"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			if diff := cmp.Diff(row.want, notesOn(t, row.caddyfile, "llm.example.com")); diff != "" {
				t.Error("(-want +got)\n" + diff)
			}
			windows := strings.ReplaceAll(row.caddyfile, "\n", "\r\n")
			if diff := cmp.Diff(row.want, notesOn(t, windows, "llm.example.com")); diff != "" {
				t.Error("with CRLF (-want +got)\n" + diff)
			}
		})
	}
	t.Run("an address for a name", func(t *testing.T) {
		if notes := notesOn(t, "https://10.0.0.5 {\n\ttls internal\n}\nhttps://[fd00::5] {\n}\n", "10.0.0.5"); len(notes) != 1 || notes[0] != out+"https://[fd00::5]" {
			t.Errorf("%q", notes)
		}
	})
}

// Whatever somebody wrote: reading it ends, a site put before it is seen, and
// so is one behind it where every block is closed.
func FuzzSitesThatGoOutOfService(f *testing.F) {
	for _, seed := range []string{"", "a {\n}\n", "{\n}\n", "a,\n", "\"", "`", "<<E\n", "a <<E\n}\nE {\n", "\\\n", "import", "}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		notes := notesOn(t, "first.example.com {\n}\n"+text, "llm.example.com")
		if len(notes) == 0 || !strings.Contains(notes[0], "first.example.com") {
			t.Errorf("%q: %q", text, notes)
		}
	})
}
