package engine

import "fmt"

// NotCompared is a secret of the stack file whose content is not known here: a
// host may have another one.
type NotCompared struct {
	Host     string `json:"host"`
	Block    string `json:"block"`    // model "llama3-8b"
	Argument string `json:"argument"` // backend_key
}

func (n NotCompared) String() string {
	return fmt.Sprintf("%s of %s on %s", n.Argument, n.Block, n.Host)
}

// notCompared lists what planning could not compare on the hosts that it saw,
// in the order of the stack file.
func (s *Session) notCompared(planned *Planned) []NotCompared {
	var list []NotCompared
	note := func(host, block, name, argument string) {
		if _, seen := planned.observed.seen[host]; seen {
			list = append(list, NotCompared{host, fmt.Sprintf("%s %q", block, name), argument})
		}
	}
	for _, worker := range s.config.Stack.Workers {
		for _, model := range worker.Models {
			if !model.BackendKey.IsKnown() {
				note(s.hostOf(worker.Name), "model", model.Name, "backend_key")
			}
		}
	}
	for _, key := range s.config.Stack.APIKeys {
		if !key.Value.IsKnown() {
			note(s.config.Stack.Proxy.Name, "api_key", key.Name, "value")
		}
	}
	return list
}
