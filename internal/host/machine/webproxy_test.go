package machine_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/host/machine"
)

// What pam_env of Debian 12 and 13 made of these lines, as su showed it.
const environment = `# comment http_proxy=http://comment:1
A1=plain
export A2=exported
  A3=indented
A4="double"
A5='single'
A6="mixed'
A7="in"ner"
A8=trailing   ` + `
A9="quoted" # note
B1="ha#sh"
B2=ha#sh
B3=a,\
b
B4=a,\

c
B5=a,\
# comment
d
B6 =space
B7= space
B-8=bad
=novalue
NOEQ
C1=first
C1=second
C2=set
C2
C3=
C4=$A1
C5=a\\b
C6=cr` + "\r" + `
export   C7=x
C8=user:pa$$w%23d@h
C9="  sp  "
D2=a;b&c
D3="unterminated
D4=last\
`

func TestParseEnvironment(t *testing.T) {
	want := map[string]string{
		"A1": "plain", "A2": "exported", "A3": "indented", "A4": "double", "A5": "single", "A6": "mixed", "A7": `in"ner`,
		"A8": "trailing   ", "A9": `quoted" `, "B1": "ha", "B2": "ha", "B3": "a,b", "B4": "a,", "B5": "a,", "B7": " space",
		"C1": "second", "C3": "", "C4": "$A1", "C5": `a\\b`, "C6": "cr\r", "C8": "user:pa$$w%23d@h", "C9": "  sp  ",
		"D2": "a;b&c", "D3": "unterminated",
	}
	if diff := cmp.Diff(want, machine.ParseEnvironment(environment)); diff != "" {
		t.Error(diff)
	}
}

func FuzzParseEnvironment(f *testing.F) {
	f.Add(environment)
	f.Add("a=\"\nb='\"\\\nc=\x00")
	f.Fuzz(func(t *testing.T, text string) {
		for name, value := range machine.ParseEnvironment(text) {
			if name == "" || strings.ContainsAny(name, " =\x00\n") || strings.ContainsAny(value, "#\x00\n") {
				t.Errorf("%q has the value %q", name, value)
			}
		}
	})
}
