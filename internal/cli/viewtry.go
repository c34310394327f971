package cli

import (
	"fmt"
	"slices"

	"github.com/relayctl/relayctl/internal/stack"
)

// tryIt prints a request that can be pasted into a shell. made are the API
// keys that were just made, delivered where delivery says.
func (v *view) tryIt(s *stack.Stack, made []string, delivery keyDelivery) {
	if len(s.APIKeys) == 0 || len(s.ModelNames()) == 0 || v.json != nil {
		return // nobody is let in, there is nothing to ask, or nobody reads it
	}
	key := s.APIKeys[0]
	if at := slices.IndexFunc(s.APIKeys, func(k *stack.APIKey) bool { return slices.Contains(made, k.Name) }); at >= 0 {
		key = s.APIKeys[at]
	}
	model := s.ModelNames()[0]
	if len(key.Models) > 0 {
		model = key.Models[0]
	}
	file := ""
	if slices.Contains(made, key.Name) {
		_, file = delivery.reveal(key.Name)
	}
	if file == "" {
		v.out.printf("\nTry it, with the key of %s in KEY:\n", key.Name)
	} else {
		v.out.printf("\nTry it:\n  KEY=$(sed -n 's/^%s=//p' %s | tail -n 1)\n", key.Name, v.clean(shellPath(file)))
	}
	v.request(s, model)
}

// request prints the request itself, and where the stack has an authority of
// its own, how to trust it.
func (v *view) request(s *stack.Stack, model string) {
	cert := ""
	if s.Proxy.TLS.Mode == stack.TLSInternal {
		pem := s.Name + "-ca.pem"
		v.out.printf("  %s\n", v.clean(fmt.Sprintf("%s > %s", v.about.again("ca"), pem)))
		cert = " --cacert " + pem
	}
	v.out.printf("  curl%s %s \\\n", cert, shellWord(s.Proxy.URL()+"/v1/chat/completions"))
	v.out.printf("    -H \"Authorization: Bearer $KEY\" -H 'Content-Type: application/json' \\\n")
	v.out.printf("    -d '{\"model\": \"%s\",\n", model)
	v.out.printf("         \"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}]}'\n")
}
