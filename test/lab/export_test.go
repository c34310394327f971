package lab

var (
	ParseList   = parseList
	ParseDeb822 = parseDeb822
)

// AptEntry and Sources show what the parsers found.
type (
	AptEntry = aptEntry
	Sources  = sources
)

// ChooseArchives is chooseSources, its two results apart.
func ChooseArchives(entries []AptEntry) (archive, security string) {
	s := chooseSources(entries)
	return s.archive, s.security
}

// Fields returns an entry's parts.
func (e aptEntry) Fields() (uris, suites, components []string) {
	return e.uris, e.suites, e.components
}
