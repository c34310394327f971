package plan_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/plan"
)

// What goes out of service when a file of somebody else makes room for ours is
// all that it serves, but for our own site on the ports that we serve it on.
func TestSitesThatGoOutOfService(t *testing.T) {
	const out = "takes out of service: "
	for _, row := range []struct {
		name            string
		serves, imports []string
		site            string
		want            []string
	}{
		{"none", nil, nil, "llm.example.com", nil},
		{"ours alone", []string{"llm.example.com"}, nil, "llm.example.com", nil},
		{"ours in every form", []string{"http://llm.example.com", "https://LLM.example.com:443", "http://llm.example.com:80"}, nil, "llm.example.com", nil},
		{"ours on another port", []string{"llm.example.com:8443"}, nil, "llm.example.com", []string{out + "llm.example.com:8443"}},
		{"several", []string{"a.example.com", "llm.example.com", ":8080"}, nil, "llm.example.com", []string{out + "a.example.com and :8080"}},
		{"imports", []string{"llm.example.com"}, []string{"sites/*.caddy", "/etc/more"}, "llm.example.com",
			[]string{"and the sites of what it imports, which stays: sites/*.caddy and /etc/more"}},
		{"a placeholder", []string{"{$DOMAIN}"}, nil, "llm.example.com", []string{out + "{$DOMAIN}"}},
		{"an address for a name", []string{"https://10.0.0.5", "https://[fd00::5]"}, nil, "10.0.0.5", []string{out + "https://[fd00::5]"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			fact := hand()
			fact.Content, fact.Serves, fact.Imports = []byte("# by hand\n"), row.serves, row.imports
			host := fileHost(fact)
			host.Want[0].Check, host.Want[0].Site = plan.LifecycleCaddy, row.site
			changes := planOf(host).Changes
			if len(changes) != 1 || !changes[0].Adoptable {
				t.Fatalf("%q", steps(planOf(host)))
			}
			if diff := cmp.Diff(row.want, changes[0].Notes); diff != "" {
				t.Error("(-want +got)\n" + diff)
			}
		})
	}
}
