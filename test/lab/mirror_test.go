package lab_test

import (
	"strings"
	"testing"

	"github.com/relayctl/relayctl/test/lab"
)

func TestMirrorsOfThisMachine(t *testing.T) {
	tests := []struct {
		name, list, deb822 string
		archive, security  string
	}{
		{name: "none"},
		{
			name: "one line each",
			list: "# comment\ndeb http://mirror.example/debian/ bookworm main contrib # tail\n" +
				"deb-src http://other.example/debian bookworm main\n" +
				"deb http://mirror.example/sec bookworm-security main\n",
			archive: "http://mirror.example/debian", security: "http://mirror.example/sec",
		},
		{
			name:    "options",
			list:    "deb [ arch=amd64 signed-by=/usr/share/keyrings/x.gpg ] https://mirror.example/debian trixie main\n",
			archive: "https://mirror.example/debian", security: "https://mirror.example/debian-security",
		},
		{
			name: "stanzas",
			deb822: "Types: deb deb-src\nURIs: http://a.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\n\n" +
				"# comment\nTypes: deb\nURIs:\n http://a.example/security\n http://b.example/security\n" +
				"Suites: bookworm-security\nComponents:\n main\n non-free\n",
			archive: "http://a.example/debian", security: "http://a.example/security",
		},
		{
			name:   "disabled",
			deb822: "Enabled: no\nTypes: deb\nURIs: http://a.example/debian\nSuites: bookworm\nComponents: main\n",
		},
		{
			name: "other software and other distributions",
			list: "deb https://packages.example/apt cloud-sdk-bookworm main\n" +
				"deb http://archive.example/ubuntu noble main\n" +
				"deb file:/media/cdrom bookworm main\n" +
				"deb http://half.example/debian bookworm\n" +
				"deb [arch=amd64\n",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			entries := append(lab.ParseList(test.list), lab.ParseDeb822(test.deb822)...)
			archive, security := lab.ChooseArchives(entries)
			if archive != test.archive || security != test.security {
				t.Errorf("archives are %s and %s, want %s and %s", archive, security, test.archive, test.security)
			}
		})
	}
}

// FuzzSources holds both parsers to what follows from their formats: no part
// of an entry is empty, holds white space or was not in the text.
func FuzzSources(f *testing.F) {
	f.Add("deb http://mirror.example/debian bookworm main")
	f.Add("deb [arch=amd64] http://mirror.example/debian bookworm main")
	f.Add("Types: deb\nURIs: http://a\nSuites: b\nComponents:\n main\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, e := range append(lab.ParseList(text), lab.ParseDeb822(text)...) {
			uris, suites, components := e.Fields()
			for _, parts := range [][]string{uris, suites, components} {
				for _, part := range parts {
					if len(strings.Fields(part)) != 1 || !strings.Contains(text, part) {
						t.Errorf("entry of %q has the part %q", text, part)
					}
				}
			}
		}
	})
}
