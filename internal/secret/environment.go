package secret

import "strings"

// OfOthers leaves out of an environment what is relayctl's own, and may hold
// secrets: for programs of others that relayctl starts, such as ssh. It is never
// nil, which would mean all of the environment to os/exec.
func OfOthers(environment []string) []string {
	kept := []string{}
	for _, variable := range environment {
		if !strings.HasPrefix(variable, "RELAYCTL_") {
			kept = append(kept, variable)
		}
	}
	return kept
}
