package desired

import "slices"

// Clash says that the hash which a host reports of its worker's secret is that
// of somebody else, who is as good or better known by it.
type Clash struct {
	Host string
	With string // "worker gpu-1", "api_key laptop"
}

// claim is one use of a hash.
type claim struct {
	who  string
	host string // that reports it; empty: it is not for a host to say
	rank int    // how well it is known to be theirs
}

// The ranks of claims: what the relay knows already comes before what a host
// reports now, and what the proxy host itself has, before all others.
const (
	reported = iota
	standing
	ours
)

// Clashes finds the hashes of workers that are somebody else's, too: the relay
// could not tell whose they are. None of them may get into the relay's files.
// Where two say the same for the first time, nobody knows who is right, and
// both are named.
func Clashes(in Input) []Clash {
	m := made{in}
	claims := map[string][]claim{}
	add := func(hash string, c claim) {
		if hash != "" {
			claims[hash] = append(claims[hash], c)
		}
	}
	add(m.probeHash().Text, claim{who: "relayctl's own key", rank: ours})
	for _, k := range in.Stack.APIKeys {
		add(m.keyHash(k).Text, claim{who: "api_key " + k.Name, rank: ours})
		for _, former := range m.formerKeys(k) {
			add(former.Hash, claim{who: "api_key " + k.Name, rank: ours})
		}
	}
	var hashes []string // in the order of the file
	for _, w := range in.Stack.Workers {
		known, _ := m.workerHashes(w.Name)
		before := m.standingHashes(w.Name)
		for _, hash := range known {
			c := claim{who: "worker " + w.Name, host: in.hostOf(w.Name)}
			if slices.Contains(before, hash) {
				c.rank = standing
			}
			if c.host == in.Stack.Proxy.Name {
				c.rank = ours
			}
			add(hash, c)
			hashes = append(hashes, hash)
		}
	}
	return clashesOf(in, claims, hashes)
}

// clashesOf lists whose claims on hashes don't hold.
func clashesOf(in Input, claims map[string][]claim, hashes []string) []Clash {
	var clashes []Clash
	for _, hash := range hashes {
		for _, c := range claims[hash] {
			_, looked := in.Hosts[c.host]
			with := slices.IndexFunc(claims[hash], func(other claim) bool { return other.who != c.who && other.rank >= c.rank })
			named := slices.ContainsFunc(clashes, func(other Clash) bool { return other.Host == c.host })
			if with >= 0 && looked && !named && c.rank < ours {
				clashes = append(clashes, Clash{Host: c.host, With: claims[hash][with].who})
			}
		}
	}
	return clashes
}
