package machine

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Where well-known servers have their sites, as patterns, and how a site says
// its names there.
var siteFiles = map[string][]string{
	"nginx.service":   {"/etc/nginx/sites-enabled/*", "/etc/nginx/conf.d/*.conf"},
	"apache2.service": {"/etc/apache2/sites-enabled/*"},
}

var siteNames = regexp.MustCompile(`(?mi)^[ \t]*(?:server_name|ServerName|ServerAlias)[ \t]+([^;#\n]+)`)

// maxSites is how many names are told.
const maxSites = 50

// maxSiteFile is the longest file of a site, in bytes, that is looked into.
const maxSiteFile = 1 << 20

// Sites lists the names by which a well-known server's sites are reached, as
// far as its files tell: what those include is not followed, and what can't be
// read has nothing to tell. Other units have none.
func (m *Machine) Sites(unit string) []string {
	var names []string
	for _, pattern := range siteFiles[unit] {
		paths, _ := filepath.Glob(m.Path(pattern)) // the patterns are well-formed
		for _, path := range paths {
			content, err := ReadLinked(path, maxSiteFile)
			if err != nil {
				continue
			}
			for _, line := range siteNames.FindAllStringSubmatch(string(content), -1) {
				names = append(names, strings.Fields(line[1])...)
			}
		}
	}
	names = slices.DeleteFunc(names, func(name string) bool { return strings.Trim(name, `_"'`) == "" })
	slices.Sort(names)
	names = slices.Compact(names)
	return names[:min(len(names), maxSites)]
}
