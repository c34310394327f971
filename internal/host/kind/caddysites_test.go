package kind_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/host/kind"
)

func TestSitesOfACaddyfile(t *testing.T) {
	for _, row := range []struct {
		name, caddyfile string
		sites, imports  []string
	}{
		{"empty", "", nil, nil},
		{"comments only", "# nothing\n\n  # here\n", nil, nil},
		{"one", "llm.example.com {\n\treverse_proxy 127.0.0.1:8080\n}\n", []string{"llm.example.com"}, nil},
		{"in every form", "http://llm.example.com, https://LLM.example.com:443 {\n}\nhttps://[fd00::5] {\n}\n",
			[]string{"http://llm.example.com", "https://LLM.example.com:443", "https://[fd00::5]"}, nil},
		{"with options before", "{\n\temail you@example.com\n\tservers {\n\t}\n}\nblog.example.com {\n}\n", []string{"blog.example.com"}, nil},
		{"several, in one block and in more", "a.example.com,\nb.example.com, c.example.com {\n\thandle /x {\n\t\trespond \"}\"\n\t}\n}\n:8080 {\n}\n",
			[]string{"a.example.com", "b.example.com", "c.example.com", ":8080"}, nil},
		{"one site without braces", "blog.example.com\nroot * /srv\nhandle {\n\tfile_server\n}\n", []string{"blog.example.com"}, nil},
		{"catch-all", ":80 {\n\troot * /usr/share/caddy\n}\n", []string{":80"}, nil},
		{"snippets and named routes are none", "(common) {\n\tencode gzip\n}\n&(route) {\n}\nblog.example.com {\n\timport common\n}\n", []string{"blog.example.com"}, nil},
		{"quotes, comments and continued lines", "\"blog.example.com\" { # the } blog\n\trespond `\n}\n` \\\n\t\t200\n}\nllm.example.com {\n}\n",
			[]string{"blog.example.com", "llm.example.com"}, nil},
		{"a heredoc with braces", "blog.example.com {\n\trespond <<HTML\n}\nx.example.com {\n\tHTML 200\n}\nllm.example.com {\n}\n",
			[]string{"blog.example.com", "llm.example.com"}, nil},
		{"imports", "import sites/*.caddy\nllm.example.com {\n}\nimport /etc/more\n", []string{"llm.example.com"}, []string{"sites/*.caddy", "/etc/more"}},
		{"one twice", "b.example.com {\n}\nb.example.com {\n}\n", []string{"b.example.com"}, nil},
		{"a placeholder", "{$DOMAIN} {\n}\n", []string{"{$DOMAIN}"}, nil},
		{"a mistake", "}\n}\nb.example.com {\n", []string{"b.example.com"}, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, text := range []string{row.caddyfile, strings.ReplaceAll(row.caddyfile, "\n", "\r\n")} {
				sites, imports := kind.CaddySites(text)
				if diff := cmp.Diff([][]string{row.sites, row.imports}, [][]string{sites, imports}); diff != "" {
					t.Errorf("%q (-want +got)\n%s", text, diff)
				}
			}
		})
	}
}

// Whatever somebody wrote: reading it ends, a site put before it is seen, and
// so is one behind it where every block is closed.
func FuzzSitesOfACaddyfile(f *testing.F) {
	for _, seed := range []string{"", "a {\n}\n", "{\n}\n", "a,\n", "\"", "`", "<<E\n", "a <<E\n}\nE {\n", "\\\n", "import", "}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if sites, _ := kind.CaddySites("first.example.com {\n}\n" + text); !slices.Contains(sites, "first.example.com") {
			t.Errorf("%q: %q", text, sites)
		}
	})
}
